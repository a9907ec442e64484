import { countPresent, enqueueMissing, overtakenBy, recordPlan, shardsPresent } from '@reembed/producer'
import { readManifest, type Version } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { describePlan, describeQuote } from '../describe-plan.ts'
import { settleLimits } from '../follow.ts'
import { count, facts, print } from '../format.ts'
import type { CorpusFlags, JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { openOutput, openSource, requireEndpoint, requireRedis } from '../parts.ts'
import { planFrom } from '../planning.ts'

/** `reembed enqueue`: plan and queue a run, then leave it to the workers. */
export async function enqueue(flags: CorpusFlags & OutputFlags & RedisFlags & JsonFlag): Promise<void> {
  const endpoint = await requireEndpoint(flags)
  const redis = requireRedis(flags)
  await using corpus = await openSource(flags)
  await using store = await openOutput(flags)
  await using queue = await openQueue(redis)
  const planned = await planFrom(corpus, flags, endpoint, store)
  const { plan, created } = await recordPlan(store, planned)
  const finished = (await readManifest(store, plan.run)) !== undefined
  if (!finished) await settleLimits(store, plan.run, planned.limits)
  const present = await shardsPresent(store, plan)
  await queue.forgetFailures(plan.run)
  const added = finished ? 0 : await enqueueMissing(queue, store.url, plan, present)
  const done = countPresent(present)
  const newer = await overtakenBy(store, plan)
  print(
    flags.json,
    { run: plan.run, created, finished, shards: plan.shards, done, added, overtakenBy: newer?.run ?? null },
    facts([
      ...describePlan(planned),
      ...(created && plan.quote ? describeQuote(plan.quote) : []),
      [
        'queued',
        finished
          ? 'nothing: this run is finished'
          : `${count(added)} jobs${done > 0 ? `; ${count(done)} shards were there` : ''}`,
      ],
      ...(newer ? [overtaken(newer, finished)] : []),
    ]),
  )
}

/** Workers leave alone what is older than the current version. */
const overtaken = ({ version, run }: Version, finished: boolean): readonly [string, string] => [
  'version',
  `none of itself: version ${version} is of a newer run, ${run}. ${
    finished
      ? '`reembed publish <run> --force` makes this one current'
      : 'The same with `reembed run` ends this one, then `reembed publish <run> --force` makes it current'
  }`,
]
