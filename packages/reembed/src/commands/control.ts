import { findRun } from '@reembed/planner'
import { resumeRun, stopRun } from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { counted } from '@reembed/render'
import { shellWord } from '@reembed/shared'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags, SpendingFlags } from '../options.ts'
import { facts, print, shortId } from '../output.ts'
import { actorOf, type ReasonFlag, spendingOf } from '../requests.ts'

type Flags = OutputFlags & JsonFlag & ReasonFlag

/** `reembed pause <run>`: workers start no more jobs of it; jobs in flight finish. */
export const pause = (name: string, flags: Flags): Promise<void> => stop(name, 'paused', flags)

/** `reembed cancel <run>`: as pause; only `reembed resume` lets sweepers process the run again. */
export const cancel = (name: string, flags: Flags): Promise<void> => stop(name, 'cancelled', flags)

async function stop(name: string, state: 'paused' | 'cancelled', flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  await stopRun(store, run, state, actorOf(flags))
  print(
    flags.json,
    { run, state },
    facts([
      [
        'run',
        `${run}  ${state}; jobs in flight finish, \`reembed resume ${shortId(run)} --output ${shellWord(flags.output)}\` continues it`,
      ],
    ]),
  )
}

/** `reembed resume <run>`: continues it; with --redis its missing shards are enqueued at once. */
export async function resume(name: string, flags: Flags & RedisFlags & SpendingFlags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  await using queue = flags.redis ? await openQueue(requireRedis(flags)) : undefined
  const enqueued = await resumeRun(store, run, {
    spending: spendingOf(flags),
    queue,
    actor: actorOf(flags),
  })
  const how =
    enqueued === undefined
      ? 'workers of this output enqueue its missing shards at their next sweep; without workers, `reembed run` with the options of the run continues it'
      : `${counted(enqueued, 'job')} enqueued`
  print(
    flags.json,
    { run, state: 'running', enqueued: enqueued ?? 0 },
    facts([['run', `${run}  running; ${how}`]]),
  )
}
