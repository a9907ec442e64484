// Suspends a worker with a fault of its own, and tries one job at intervals: a model that is
// deployed again, or a right that is granted again, ends the suspension without a command.

import type { Consumer } from '@reembed/queue'
import { type Clock, messageOf, type ReembedError } from '@reembed/shared'
import type { Logger } from '@reembed/telemetry'
import type { WorkerHealth } from './health.ts'

export interface Suspension extends Disposable {
  /** Acts on the health of the worker; called after each job and each answer. */
  update(): void
}

export interface SuspensionOptions {
  readonly health: WorkerHealth
  readonly consumer: Pick<Consumer, 'suspend' | 'takeOne' | 'resume'>
  /** Resolves with the reason if the endpoint is unreachable: then no job is tried. */
  readonly probe: (signal: AbortSignal) => Promise<{ readonly reason: string } | null>
  readonly log: Logger
  readonly clock: Clock
  /** Called when the worker has been suspended for `giveUpMs`. */
  readonly onGiveUp?: ((error: ReembedError) => void) | undefined
  readonly giveUpMs?: number | undefined
}

/** Interval between tries: doubled from the first to the last. */
const TRY_MS = { least: 5_000, most: 30_000 } as const

export function createSuspension({
  health,
  consumer,
  probe,
  log,
  clock,
  onGiveUp,
  giveUpMs,
}: SuspensionOptions): Suspension {
  /** Aborts when the suspension is over. */
  let over: AbortController | undefined

  async function tryJobs(signal: AbortSignal): Promise<void> {
    for (let waitMs: number = TRY_MS.least; ; waitMs = Math.min(2 * waitMs, TRY_MS.most)) {
      await clock.sleep(waitMs, signal)
      const isUnreachable = health.fault?.error.code === 'ENDPOINT_UNREACHABLE'
      if (isUnreachable && (await probe(signal)) !== null) continue
      await consumer.takeOne()
      signal.throwIfAborted()
    }
  }

  async function giveUp(ms: number, signal: AbortSignal): Promise<void> {
    await clock.sleep(ms, signal)
    if (health.fault) onGiveUp?.(health.fault.error)
  }

  function suspend(error: ReembedError | undefined): void {
    over = new AbortController()
    consumer.suspend()
    const tries = `it tries one job every ${TRY_MS.least / 1000} to ${TRY_MS.most / 1000} s`
    log.error({ code: error?.code }, `worker takes no jobs: ${messageOf(error)}; ${tries}`)
    tryJobs(over.signal).catch(() => {})
    if (giveUpMs !== undefined) giveUp(giveUpMs, over.signal).catch(() => {})
  }

  function end(): void {
    over?.abort()
    over = undefined
  }

  return {
    update() {
      if (health.isSuspended && over === undefined) suspend(health.fault?.error)
      if (health.isSuspended || over === undefined) return
      end()
      consumer.resume()
      log.info({}, 'worker takes jobs again')
    },
    [Symbol.dispose]: end,
  }
}
