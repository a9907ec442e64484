import { enqueueMissing, shardsPresent } from '@reembed/producer'
import { type RunState, readManifest, readRunStateRecord, requirePlan, setRunState } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import { findRun } from '../find-run.ts'
import { count, facts, print } from '../format.ts'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags, SpendingFlags } from '../options.ts'
import { budgetOf } from '../quoting.ts'

type Flags = OutputFlags & JsonFlag

/** `reembed pause <run>`: no job of it is begun; those under way are finished. */
export const pause = (name: string, flags: Flags): Promise<void> => stop(name, 'paused', flags)

/** `reembed cancel <run>`: as pause, and sweeps leave it alone for good, unless somebody resumes it. */
export const cancel = (name: string, flags: Flags): Promise<void> => stop(name, 'cancelled', flags)

async function stop(name: string, state: RunState, flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  if (await readManifest(store, run)) {
    throw new ReembedError('USAGE', `run ${run} is finished: there is nothing to stop`)
  }
  await setRunState(store, run, state)
  print(
    flags.json,
    { run, state },
    facts([
      ['run', `${run}  ${state}; jobs under way are finished, \`reembed resume ${run}\` lets it go on`],
    ]),
  )
}

/** `reembed resume <run>`: lets it go on; with --redis its missing shards are queued at once. */
export async function resume(name: string, flags: Flags & RedisFlags & SpendingFlags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  const plan = await requirePlan(store, run)
  const price = flags.pricePerHour
    ? { perHour: flags.pricePerHour, replicas: flags.replicas ?? 1 }
    : (plan.quote?.price ?? undefined)
  const given = budgetOf(flags, price)
  const budget = Object.keys(given).length > 0 ? given : undefined
  const record = await readRunStateRecord(store, run)
  if (record.budgetExceeded !== undefined && budget === undefined) {
    throw new ReembedError(
      'USAGE',
      `run ${run}: ${record.budgetExceeded}: say a higher limit to let it go on`,
    )
  }
  await setRunState(store, run, 'running', { budget })
  let enqueued = 0
  if (flags.redis) {
    await using queue = await openQueue(requireRedis(flags))
    await queue.removeFailed(run)
    enqueued = await enqueueMissing(queue, store.url, plan, await shardsPresent(store, plan))
  }
  const how = flags.redis
    ? `${count(enqueued)} jobs queued`
    : 'the next sweep of a worker queues what is missing'
  print(flags.json, { run, state: 'running', enqueued }, facts([['run', `${run}  running; ${how}`]]))
}
