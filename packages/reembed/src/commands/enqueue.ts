import { countPresent, enqueueMissing, recordPlan, shardsPresent, supersededBy } from '@reembed/producer'
import { readManifest, type Version } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { describePlan, describeQuote } from '../describe-plan.ts'
import { applyBudget } from '../follow.ts'
import { count, facts, print } from '../format.ts'
import { openOutput, openSource, requireEndpoint, requireRedis } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
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
  if (!finished) await applyBudget(store, plan.run, planned.budget)
  const present = await shardsPresent(store, plan)
  await queue.removeFailed(plan.run)
  const enqueued = finished ? 0 : await enqueueMissing(queue, store.url, plan, present)
  const shardsDone = countPresent(present)
  const newer = await supersededBy(store, plan)
  print(
    flags.json,
    {
      run: plan.run,
      created,
      finished,
      shards: plan.shards,
      shardsDone,
      enqueued,
      supersededBy: newer?.run ?? null,
    },
    facts([
      ...describePlan(planned),
      ...(created && plan.quote ? describeQuote(plan.quote) : []),
      [
        'queued',
        finished
          ? 'nothing: this run is finished'
          : `${count(enqueued)} jobs${shardsDone > 0 ? `; ${count(shardsDone)} shards were there` : ''}`,
      ],
      ...(newer ? [supersededRow(newer, finished)] : []),
    ]),
  )
}

/** Workers leave alone what is older than the current version. */
const supersededRow = ({ version, run }: Version, finished: boolean): readonly [string, string] => [
  'version',
  `none of itself: version ${version} is of a newer run, ${run}. ${
    finished
      ? '`reembed publish <run> --force` makes this one current'
      : 'The same with `reembed run` ends this one, then `reembed publish <run> --force` makes it current'
  }`,
]
