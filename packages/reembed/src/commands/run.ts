import { waitForChange } from '@reembed/endpoint'
import {
  createSweeper,
  enqueueMissing,
  type PlannedRun,
  type PublishOutcome,
  publish,
  recordPlan,
  shardsPresent,
} from '@reembed/producer'
import { type Manifest, type RunBudget, readManifest } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { EXIT, ReembedError, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'
import { describePaid, describePlan, describeQuote } from '../describe-plan.ts'
import { applyBudget, follow } from '../follow.ts'
import { bytes, count, duration, facts, note, print, reuseRow } from '../format.ts'
import { onInterrupt } from '../interrupt.ts'
import {
  openOrStartEndpoint,
  openOrStartRedis,
  openOutput,
  openSource,
  type ResolvedEndpoint,
  s3OptionsOf,
} from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags, RedisFlags, WorkerFlags } from '../options.ts'
import { planFrom } from '../planning.ts'
import { createProgressLine } from '../progress-line.ts'

export type FollowFlags = OutputFlags &
  RedisFlags &
  WorkerFlags &
  JsonFlag & {
    readonly whenDone: 'keep' | 'sleep' | 'pause'
    readonly maxRejects?: string
  }

/** `reembed run`: plan, enqueue and follow in one terminal. The same command again goes on where it was. */
export async function run(flags: CorpusFlags & FollowFlags): Promise<void> {
  const startedMs = Date.now()
  await using stack = new AsyncDisposableStack()
  const interrupted = stack.adopt(onInterrupt(), ({ stop }) => stop()).signal
  const corpus = stack.use(await openSource(flags))
  const store = stack.use(await openOutput(flags))
  const endpoint = await openOrStartEndpoint(flags, stack)
  const planned = await planFrom(corpus, flags, endpoint, store)
  await executeRun(planned, flags, { store, endpoint, stack, interrupted, startedMs })
}

export interface RunResources {
  readonly store: Store
  readonly endpoint: ResolvedEndpoint
  readonly stack: AsyncDisposableStack
  readonly interrupted: AbortSignal
  readonly startedMs: number
}

/** Records what was planned, works on it and follows it to its end. */
export async function executeRun(
  planned: PlannedRun & { readonly budget: RunBudget },
  flags: FollowFlags,
  { store, endpoint, stack, interrupted, startedMs }: RunResources,
): Promise<void> {
  const { plan, created } = await recordPlan(store, planned)
  note(facts([...describePlan(planned), ...(created && plan.quote ? describeQuote(plan.quote) : [])]))

  const finished = await readManifest(store, plan.run)
  if (finished) {
    const outcome = await publish(store, finished, {
      ...plan,
      maxRejects: flags.maxRejects ?? plan.maxRejects,
      signal: interrupted,
    }).catch((error: unknown) => {
      throw interrupted.aborted ? interruptedError('the same command goes on from there') : error
    })
    conclude(flags, store, finished, outcome, ['note', 'nothing to do: this run was finished before'])
    return
  }
  await applyBudget(store, plan.run, planned.budget)
  if (!created) note('going on with a run that was begun before')

  const redis = await openOrStartRedis(flags, stack)
  const queue = stack.use(await openQueue(redis.url))
  const line = stack.adopt(createProgressLine(process.stderr), ({ end }) => end())
  let endpointErrors = 0
  // Somebody is looking: better to be told that the endpoint serves another model than to wait for the right one.
  const blocked = new AbortController()
  const worker = await startWorker({
    redis: redis.url,
    endpoint: endpoint.url,
    endpointOptions: endpoint.options,
    outputs: [store.url],
    concurrency: flags.concurrency,
    s3: s3OptionsOf(flags),
    log: openLog({ level: process.env.REEMBED_LOG ?? 'silent' }),
    onJobError: error => {
      endpointErrors += 1
      if (error instanceof ReembedError && error.code === 'MODEL_MISMATCH') blocked.abort(error)
    },
  })
  const { hf } = endpoint
  const watched = new AbortController()
  stack.defer(() => watched.abort())
  if (hf) {
    void waitForChange(hf.api, hf.name, hf.initial, { signal: watched.signal }).then(
      reason => reason && blocked.abort(reason),
    )
  }
  // Jobs under way are handed back at once: their shards are made again later, and nobody waits for a lock to expire.
  stack.adopt(worker, () => worker.drain(0))
  await queue.removeFailed(plan.run)
  await enqueueMissing(queue, store.url, plan, await shardsPresent(store, plan))

  const outcome = await follow({
    store,
    queue,
    plan,
    sweeper: createSweeper(store, queue),
    signal: AbortSignal.any([interrupted, blocked.signal]),
    show: shown => line.show({ ...shown, endpoint: worker.endpointState, endpointErrors }),
  }).catch((error: unknown) => {
    if (blocked.signal.aborted) throw blocked.signal.reason
    if (!interrupted.aborted) throw error
    const left = redis.isPrivate
      ? 'the same command goes on from there'
      : 'other workers go on with it, and so does the same command'
    throw interruptedError(left)
  })
  line.end()
  if (hf && flags.whenDone !== 'keep') {
    await hf.api[flags.whenDone](hf.name)
    note(`endpoint  ${hf.name.name} ${flags.whenDone === 'sleep' ? 'sleeps' : 'is paused'}`)
  }
  const manifest = await readManifest(store, plan.run)
  if (!manifest)
    throw new ReembedError('CORRUPT', `the manifest of run ${plan.run} vanished from ${store.url}`)
  conclude(flags, store, manifest, outcome, ['took', duration(Date.now() - startedMs)])
}

const interruptedError = (left: string): ReembedError =>
  new ReembedError('INTERRUPTED', `stopped; what is finished is kept, ${left}`)

/** Prints what was made and sets the exit code: 3 when rejects hold it back. */
function conclude(
  flags: JsonFlag,
  store: Store,
  manifest: Manifest,
  outcome: PublishOutcome,
  last: readonly [string, string],
): void {
  const { totals, model, shards, run: id, actualCost, quote } = manifest
  const version = 'version' in outcome ? outcome.version.version : null
  const state =
    outcome.status === 'held'
      ? `not published: ${outcome.reason}`
      : outcome.status === 'superseded'
        ? `not published: version ${outcome.by.version} is of a newer run`
        : `version ${version}, current`
  print(
    flags.json,
    {
      run: id,
      status: outcome.status,
      ...(outcome.status === 'held' && { reason: outcome.reason }),
      version,
      shards,
      totals,
      baseRun: manifest.baseRun ?? null,
      rejectReasons: manifest.rejectReasons,
      model,
      actualCost,
      quote,
    },
    facts([
      ['run', `${id}  ${state}`],
      [
        'documents',
        `${count(totals.documents)} = ${count(totals.rows)} rows + ${count(totals.rejects)} rejects${rejectsNote(manifest)}`,
      ],
      ...reuseRow(manifest),
      ...(actualCost ? describePaid(actualCost, quote) : []),
      [
        'shards',
        `${count(shards)}, ${bytes(totals.bytes)} in ${store.url.replace(/\/$/, '')}/${shardPrefix(id)}`,
      ],
      last,
    ]),
  )
  if (outcome.status === 'held')
    process.exitCode = outcome.by === 'gates' ? EXIT.verification : EXIT.notPublished
}

function rejectsNote({ rejectReasons, run }: Manifest): string {
  const reasons = Object.entries(rejectReasons).map(([reason, times]) => `${reason} ${count(times)}`)
  return reasons.length === 0 ? '' : ` (${reasons.join(', ')}; see runs/${run}/rejects.jsonl)`
}
