import { countPresent, findRun, shardsPresent } from '@reembed/producer'
import { readCurrent, readManifest, readRunStateRecord, requirePlan } from '@reembed/protocol'
import { openQueue, type RedisTarget } from '@reembed/queue'
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
  const plan = await requirePlan(store, run)
  const [manifest, current] = [await readManifest(store, run), await readCurrent(store)]
  const shardsDone = manifest ? plan.shards : countPresent(await shardsPresent(store, plan))
  const record = await readRunStateRecord(store, run)
  const state =
    record.state !== 'running' && !manifest
      ? record.state
      : current?.run === run
        ? 'current'
        : manifest
          ? 'finished'
          : shardsDone === plan.shards
            ? 'finalizing'
            : 'running'
  const live = flags.redis ? await liveState(requireRedis(flags), run) : undefined
  const rows: [string, string][] = [
    [
      'run',
      `${run}  ${state}${record.budgetExceeded && state === 'paused' ? `: ${record.budgetExceeded}` : ''}`,
    ],
    ['model', `${plan.recipe.model.id}@${plan.recipe.model.revision ?? 'unstated'}`],
    [
      'shards',
      `${count(shardsDone)} of ${count(plan.shards)}  (${Math.floor((100 * shardsDone) / plan.shards)} %)`,
    ],
  ]
  if (manifest) {
    const { documents, rows: embedded, rejects } = manifest.totals
    rows.push(['documents', `${count(documents)} = ${count(embedded)} rows + ${counted(rejects, 'reject')}`])
    rows.push(...reuseRow(manifest))
  } else {
    rows.push([
      'documents',
      `about ${count(plan.estimatedDocuments)}${live ? `, ${doneText(live.progress, plan.estimatedDocuments)}` : ''}`,
    ])
  }
  if (live) {
    const { waiting, active, delayed, failed } = live.queue
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
      shards: plan.shards,
      totals: manifest?.totals ?? null,
      baseRun: manifest?.baseRun ?? null,
      ...live,
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

async function liveState(redis: RedisTarget, run: string) {
  await using queue = await openQueue(redis)
  const [counts, progress, workers, failures] = await Promise.all([
    queue.counts(),
    queue.progress(run),
    queue.workers(),
    queue.failures(run, 5),
  ])
  return { queue: counts, progress, workers, failures }
}
