import { findRun } from '@reembed/planner'
import { readRunStatus } from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { count, counted, facts, print, reuseRow } from '../format.ts'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags } from '../options.ts'

/**
 * `reembed status`: shows the progress in the store, and with --redis the queue and the workers.
 */
export async function status(
  name: string | undefined,
  flags: OutputFlags & RedisFlags & JsonFlag,
): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  await using queue = flags.redis ? await openQueue(requireRedis(flags)) : undefined
  const status = await readRunStatus(store, queue, run)
  const { state, shards, shardsDone, totals, budgetExceeded, model, queue: live } = status
  const rows: [string, string][] = [
    ['run', `${run}  ${state}${budgetExceeded ? `: ${budgetExceeded}` : ''}`],
    ['model', `${model.id}@${model.revision ?? 'unstated'}`],
    ['shards', `${count(shardsDone)} of ${count(shards)}  (${Math.floor((100 * shardsDone) / shards)} %)`],
  ]
  if (totals) {
    const { documents, rows: embedded, rejects } = totals
    rows.push(['documents', `${count(documents)} = ${count(embedded)} rows + ${counted(rejects, 'reject')}`])
    rows.push(...reuseRow({ ...status, totals }))
  } else {
    rows.push([
      'documents',
      `about ${count(status.documents)}${live ? `, ${doneText(live.progress, status.documents)}` : ''}`,
    ])
  }
  if (live) {
    const { waiting, active, delayed, failed } = live.jobs
    rows.push([
      'queue',
      `${count(waiting)} waiting, ${count(active)} active, ${count(delayed)} delayed, ${count(failed)} failed`,
    ])
    rows.push([
      'workers',
      live.workers.length === 0
        ? 'none'
        : live.workers.map(({ worker, endpoint }) => `${worker} (${endpoint})`).join(', '),
    ])
    for (const { shard, reason } of live.failures) rows.push(['failed', `shard ${shard}: ${reason}`])
  }
  print(
    flags.json,
    {
      run,
      state,
      shardsDone,
      shards,
      totals: totals ?? null,
      baseRun: status.baseRun ?? null,
      unfinishedBaseRuns: status.unfinishedBaseRuns ?? [],
      ...(live && {
        queue: live.jobs,
        progress: live.progress,
        workers: live.workers,
        failures: live.failures,
      }),
    },
    facts(rows),
  )
}

/** '4,870 done (31 %), 2,448 of them in finished shards'. */
function doneText(
  { documents, openDocuments }: { readonly documents: number; readonly openDocuments: number },
  estimated: number,
): string {
  const done = documents + openDocuments
  const percent = estimated === 0 ? 100 : Math.min(100, Math.floor((100 * done) / estimated))
  return `${count(done)} done (${percent} %), ${count(documents)} of them in finished shards`
}
