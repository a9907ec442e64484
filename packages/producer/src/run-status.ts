// The description of one run: what the command prints, and what the SDK returns.

import {
  countPresent,
  type Manifest,
  type ModelIdentity,
  readCurrent,
  readManifest,
  readRunStateRecord,
  requirePlan,
  shardsPresent,
  type Totals,
} from '@reembed/protocol'
import type { Queue, QueueCounts, RunProgress, WorkerState } from '@reembed/queue'
import type { Store } from '@reembed/store'

/**
 * - `running`: shards are missing.
 * - `finalizing`: all shards are made, the manifest is not written yet; the next sweep does it.
 * - `finished`: the manifest is written. The run is not current: held, superseded or an earlier
 *   version.
 * - `current`: published, and the version that readers read.
 * - `paused`, `cancelled`, `deleting`, `deleted`: by a state record; no jobs are started.
 */
export type RunStatusState =
  | 'running'
  | 'finalizing'
  | 'finished'
  | 'current'
  | 'paused'
  | 'cancelled'
  | 'failed'
  | 'deleting'
  | 'deleted'

export interface RunStatus {
  readonly run: string
  readonly state: RunStatusState
  /** Set for a run that its budget has paused: the limit and what was used. */
  readonly budgetExceeded: string | undefined
  readonly model: ModelIdentity
  readonly shards: number
  readonly shardsDone: number
  /** Exact once the run is finished, estimated before. */
  readonly documents: number
  /** Set once the run is finished. */
  readonly totals: Totals | undefined
  /** The run whose vectors it reused; set once the run is finished, if it had one. */
  readonly baseRun: Manifest['baseRun']
  readonly unfinishedBaseRuns: Manifest['unfinishedBaseRuns']
  /** What Redis knows; undefined for a client without Redis. */
  readonly queue:
    | {
        /** Jobs of all runs. */
        readonly jobs: QueueCounts
        /** Counted since Redis started. */
        readonly progress: RunProgress
        readonly workers: readonly WorkerState[]
        /** The newest five jobs of this run that used up their attempts. */
        readonly failures: readonly { readonly shard: number; readonly reason: string }[]
      }
    | undefined
}

const FAILURES_SHOWN = 5

/**
 * Describes a run by the store, and by Redis if `queue` is given.
 * @throws ReembedError RUN_NOT_FOUND
 */
export async function readRunStatus(store: Store, queue: Queue | undefined, run: string): Promise<RunStatus> {
  const plan = await requirePlan(store, run)
  const [manifest, current, record] = await Promise.all([
    readManifest(store, run),
    readCurrent(store),
    readRunStateRecord(store, run),
  ])
  const shardsDone = manifest ? plan.shards : countPresent(await shardsPresent(store, plan))
  return {
    run,
    state: stateOf(),
    budgetExceeded: record.state === 'paused' ? record.budgetExceeded : undefined,
    model: plan.recipe.model,
    shards: plan.shards,
    shardsDone,
    documents: manifest?.totals.documents ?? plan.estimatedDocuments,
    totals: manifest?.totals,
    baseRun: manifest?.baseRun,
    unfinishedBaseRuns: manifest?.unfinishedBaseRuns,
    queue: queue && (await queueStatus(queue, run)),
  }

  function stateOf(): RunStatusState {
    if (record.state === 'deleting' || record.state === 'deleted') return record.state
    if (current?.run === run) return 'current'
    if (manifest) return 'finished'
    if (record.state !== 'running') return record.state
    return shardsDone === plan.shards ? 'finalizing' : 'running'
  }
}

async function queueStatus(queue: Queue, run: string): Promise<NonNullable<RunStatus['queue']>> {
  const [jobs, progress, workers, failures] = await Promise.all([
    queue.counts(),
    queue.progress(run),
    queue.workers(),
    queue.failures(run, FAILURES_SHOWN),
  ])
  return { jobs, progress, workers, failures: failures.map(({ shard, reason }) => ({ shard, reason })) }
}
