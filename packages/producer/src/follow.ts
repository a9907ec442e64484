// Follows a run to its end. Sweeps meanwhile, so that the run ends although Redis is emptied or a
// worker dies.

import { setTimeout as wait } from 'node:timers/promises'
import { runStoppedError } from '@reembed/planner'
import {
  countPresent,
  estimatedInputs,
  type Plan,
  type RunFailure,
  readPlan,
  readRunStateRecord,
  refuseDeleted,
  shardsPresent,
} from '@reembed/protocol'
import type { Queue, RunPointer } from '@reembed/queue'
import { ReembedError, unlessAborted } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { countDocumentsDone } from './documents-done.ts'
import type { PublishOutcome } from './publish.ts'
import { createSweeper, type Sweeper, type SweepOutcome } from './sweep.ts'

/** How far a run is. */
export interface FollowProgress {
  readonly shards: number
  readonly shardsDone: number
  /** Estimated. */
  readonly documents: number
  /** Exact for shards that were completed since Redis started, estimated for earlier ones. */
  readonly documentsDone: number
  readonly rejects: number
  /** What `documents` counts: chunks for a run that cuts documents. */
  readonly unit: 'document' | 'chunk'
  /** Tokens in finished shards that the model read, and did not read. */
  readonly tokens: number
  readonly unreadTokens: number
}

export interface FollowOptions {
  readonly store: Store
  readonly queue: Queue
  /** Default: a new sweeper. */
  readonly sweeper?: Sweeper | undefined
  readonly plan: Plan
  /** Called at once, three times a second at most, and when the last shard is completed. */
  readonly onProgress?: ((progress: FollowProgress) => void) | undefined
  readonly signal: AbortSignal
}

/**
 * Time between two polls: a part of the estimated time until the last shard, so that the command
 * ends soon after it, however long the run takes.
 */
const POLL_MS = { least: 20, most: 300, part: 0.1 } as const
/** Interval of calls of `onProgress`. */
const PROGRESS_MS = 300
const SWEEP_MS = 30_000
/**
 * Interval of sweeps after the queue ran empty while shards are missing: Redis was emptied, or its
 * counts lag behind the last jobs.
 */
const IDLE_SWEEP_MS = 2_000

/**
 * Resolves when the run is finished and published, or held back.
 * @throws ReembedError SHARD_FAILED when every missing shard has failed permanently; RUN_STOPPED
 * when the run is paused, cancelled, deleted or superseded meanwhile; RUN_NOT_FOUND when its plan
 * no longer exists; UNBALANCED, CORRUPT or DUPLICATE_ID when it cannot be finalized;
 * REDIS_UNREACHABLE; the signal's reason, at once.
 */
export function followRun(options: FollowOptions): Promise<PublishOutcome> {
  // Not every call of a sweep takes the signal, and a silent Redis or store answers none.
  return unlessAborted(options.signal, follow(options))
}

async function follow({
  store,
  queue,
  sweeper = createSweeper(store, queue),
  plan,
  onProgress,
  signal,
}: FollowOptions): Promise<PublishOutcome> {
  const { run, shards } = plan
  const estimated = estimatedInputs(plan)
  const of = { output: store.url, run }
  const startedMs = Date.now()
  const present = countPresent(await shardsPresent(store, plan))
  // Redis counts shards since it started; the store holds earlier ones too.
  let before = present - (await queue.progress(of)).shards
  let sweptMs = Date.now()
  let [lastDone, lastDoneMs] = [present, startedMs]
  const report = limitCalls(onProgress)
  while (true) {
    signal.throwIfAborted()
    const [progress, counts] = await Promise.all([queue.progress(of), queue.counts()])
    const shardsDone = Math.min(shards, Math.max(0, before + progress.shards))
    const documentsDone = countDocumentsDone({ done: shardsDone, total: shards }, progress, estimated)
    report({
      shards,
      shardsDone,
      documents: estimated,
      documentsDone,
      rejects: progress.rejects,
      unit: plan.recipe.chunking ? 'chunk' : 'document',
      tokens: progress.tokens,
      unreadTokens: progress.unreadTokens,
    })

    const idle = counts.waiting + counts.active + counts.delayed === 0
    const sinceMs = Date.now() - sweptMs
    if (shardsDone === shards || sinceMs > SWEEP_MS || (idle && sinceMs > IDLE_SWEEP_MS)) {
      sweptMs = Date.now()
      const outcome = (await sweeper.sweep(signal, run)).find(swept => swept.run === run)
      if (outcome?.status === 'finished') return outcome.publish
      if (outcome?.status === 'broken') throw outcome.error
      if (outcome?.status === 'superseded') throw supersededError(outcome)
      if (outcome?.status === 'failed') throw runFailedError(run, outcome.failure)
      if (outcome?.status === 'paused' || outcome?.status === 'cancelled')
        throw runStoppedError(run, await readRunStateRecord(store, run))
      if (outcome?.status === 'running') {
        before = shards - outcome.missing - (await queue.progress(of)).shards
        await failIfAllFailed(queue, of, outcome.missing)
      } else {
        // A run whose plan gc has deleted has no outcome.
        await refuseDeleted(store, run, 'RUN_STOPPED')
        if ((await readPlan(store, run)) === undefined) throw planMissingError(store, run)
      }
    }
    const nowMs = Date.now()
    if (shardsDone !== lastDone) [lastDone, lastDoneMs] = [shardsDone, nowMs]
    const ms = pollMs({
      elapsedMs: nowMs - startedMs,
      stalledMs: nowMs - lastDoneMs,
      done: shardsDone - present,
      missing: shards - shardsDone,
    })
    await wait(ms, undefined, { signal })
  }
}

/** Leaves out calls that follow the last one too soon, except the first with all shards. */
function limitCalls(onProgress: FollowOptions['onProgress']): (progress: FollowProgress) => void {
  let [done, atMs] = [-1, Number.NEGATIVE_INFINITY]
  return progress => {
    const { shards, shardsDone } = progress
    const isLast = shardsDone === shards && done < shards
    if (!isLast && performance.now() - atMs < PROGRESS_MS) return
    ;[done, atMs] = [shardsDone, performance.now()]
    onProgress?.(progress)
  }
}

/**
 * Milliseconds until the next poll of a run that has been followed for `elapsedMs`: `done` shards
 * were completed meanwhile, the last one `stalledMs` ago.
 */
export function pollMs({
  elapsedMs,
  stalledMs,
  done,
  missing,
}: Readonly<Record<'elapsedMs' | 'stalledMs' | 'done' | 'missing', number>>): number {
  // Finalizing takes the longer the longer the run. A shard that does not come may never come.
  const leftMs =
    missing === 0 ? 2 * elapsedMs : Math.max(stalledMs, (elapsedMs * missing) / Math.max(1, done))
  return Math.min(POLL_MS.most, Math.max(POLL_MS.least, POLL_MS.part * leftMs))
}

function supersededError({ run, missing, by }: SweepOutcome & { status: 'superseded' }): ReembedError {
  return new ReembedError(
    'RUN_STOPPED',
    `run ${run} was superseded by version ${by.version}, of run ${by.run}, before its last ${missing} shards were made: plan the run again to continue it, or keep that version`,
    { reason: 'run_superseded' },
  )
}

/** No sweep can finish a run without its plan, and no gc has deleted it. */
const planMissingError = (store: Store, run: string): ReembedError =>
  new ReembedError(
    'RUN_NOT_FOUND',
    `the plan of run ${run} no longer exists in ${store.url}: restore the output, or run again to plan it; completed shards that still exist are kept`,
  )

/** The error that a sweep recorded for a run that cannot be finalized. */
const runFailedError = (run: string, failure: RunFailure | undefined): ReembedError =>
  new ReembedError(failure?.code ?? 'CORRUPT', failure?.message ?? `run ${run} cannot be finalized`)

/**
 * A failed job stays in the queue: as many failed jobs as missing shards means that no job of the
 * run is left.
 */
async function failIfAllFailed(queue: Queue, of: RunPointer, missing: number): Promise<void> {
  const failures = await queue.failures(of, missing)
  const [first] = failures
  if (first === undefined || failures.length < missing) return
  const reason = first.reason.replace(/\.$/, '')
  throw new ReembedError(
    'SHARD_FAILED',
    `${missing === 1 ? `shard ${first.shard}` : `${missing} shards, the first of them ${first.shard},`} could not be made: ${reason}. Completed shards are kept: fix the cause and run again`,
  )
}
