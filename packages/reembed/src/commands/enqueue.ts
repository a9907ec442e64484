import { planCorpus } from '@reembed/planner'
import { submitRun, supersededBy } from '@reembed/producer'
import type { Version } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { describePlan, describeQuote, queuedRows } from '@reembed/render'
import { notePlan } from '../notices.ts'
import { checkEndpoint, openOutput, openSource, requireEndpoint, requireRedis } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { facts, print } from '../output.ts'
import { planOptionsOf } from '../requests.ts'

/** `reembed enqueue`: plans a run and enqueues its jobs for the workers. */
export async function enqueue(flags: CorpusFlags & OutputFlags & RedisFlags & JsonFlag): Promise<void> {
  const options = planOptionsOf(flags)
  await checkEndpoint(flags)
  const redis = requireRedis(flags)
  await using corpus = await openSource(flags)
  await using store = await openOutput(flags)
  await using queue = await openQueue(redis)
  const planned = await planCorpus(corpus, onState => requireEndpoint(flags, onState), options, {
    output: store,
    redis,
    awaitEndpoint: flags.awaitEndpoint,
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
      ...queuedRows({ enqueued, shardsDone, shards: plan.shards, finished }),
      ...(finished ? [] : [NEXT]),
      ...(newer ? [supersededRow(newer, finished)] : []),
    ]),
  )
}

const NEXT = ['next', '`reembed worker` with the same --output, --endpoint and --redis embeds it'] as const

/** Workers do not publish a run that is older than the current version. */
const supersededRow = ({ version, run }: Version, finished: boolean): readonly [string, string] => [
  'version',
  `not published by workers: version ${version} is the newer run ${run}. ${
    finished
      ? '`reembed publish <run> --force` makes this one current'
      : 'Finish this one by `reembed run` with the same options, then make it current by `reembed publish <run> --force`'
  }`,
]
