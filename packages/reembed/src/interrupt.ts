// The first SIGINT or SIGTERM stops the command in order, the second exits at once.

import { EXIT, ReembedError } from '@reembed/shared'
import { noteLines } from './output.ts'

/** A process that has not ended this long after its grace period is waiting for a dead server. */
const LATE_MS = 5_000

/**
 * A signal that fires on the first SIGINT or SIGTERM. The process exits at the latest 5 s after
 * `graceMs`, the time for its jobs, whatever it waits for. `stop` restores the default behaviour of
 * the process.
 */
export function onInterrupt(graceMs = 0): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController()
  let late: NodeJS.Timeout | undefined
  const handle = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted)
    const jobs = graceMs > 0 ? ': finishing or requeueing jobs' : ''
    noteLines(`\nstopping${jobs}; interrupt again to exit at once`)
    controller.abort(new ReembedError('INTERRUPTED', `received ${name}`))
    late = setTimeout(() => process.exit(EXIT.interrupted), graceMs + LATE_MS).unref()
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
  return {
    signal: controller.signal,
    stop() {
      clearTimeout(late)
      process.off('SIGINT', handle)
      process.off('SIGTERM', handle)
    },
  }
}
