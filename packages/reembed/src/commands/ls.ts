import { createRunsReader, readPlanningStatus } from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { listRuns, paintList } from '@reembed/render'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { print } from '../output.ts'

/** `reembed ls`: the runs of an output, newest first. */
export async function ls(flags: OutputFlags & RedisFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  await using queue = flags.redis ? await openQueue(requireRedis(flags)) : undefined
  const planning = await readPlanningStatus(store, queue)
  const runs = await createRunsReader(store, queue)(1_000)
  const columns = process.stdout.isTTY ? (process.stdout.columns ?? 80) : Number.POSITIVE_INFINITY
  const all = [...planning, ...runs]
  const text = all.length > 0 ? paintList(listRuns(runs, columns, planning)) : `no runs in ${store.url}`
  print(flags.json, all, text)
}
