import { planCorpus, submitRun, supersededBy } from '@reembed/producer'
import type { Version } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { describePlan, describeQuote } from '../describe-plan.ts'
import { count, facts, print } from '../format.ts'
import { notePlan } from '../notices.ts'
import { openOutput, openSource, requireEndpoint, requireRedis } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { planOptionsOf } from '../requests.ts'

/** `reembed enqueue`: plan and queue a run, then leave it to the workers. */
export async function enqueue(flags: CorpusFlags & OutputFlags & RedisFlags & JsonFlag): Promise<void> {
  const endpoint = await requireEndpoint(flags)
  const redis = requireRedis(flags)
  await using corpus = await openSource(flags)
  await using store = await openOutput(flags)
  await using queue = await openQueue(redis)
  const planned = await planCorpus(corpus, endpoint, planOptionsOf(flags), {
    output: store,
    redis,
    onNotice: notePlan,
  })
  const { plan, created, manifest, shardsDone, enqueued } = await submitRun(store, queue, planned)
  const finished = manifest !== undefined
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
