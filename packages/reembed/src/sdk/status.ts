import { countPresent, shardsPresent } from '@reembed/producer'
import { readCurrent, readManifest, readRunStateRecord, requirePlan } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import type { Store } from '@reembed/store'
import type { RunStatus, RunStatusState } from './options.ts'

const FAILURES_SHOWN = 5

/** @throws ReembedError RUN_NOT_FOUND */
export async function statusOf(store: Store, queue: Queue | undefined, run: string): Promise<RunStatus> {
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
