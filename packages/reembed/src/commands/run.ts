import { type EndpointResolver, type ResolvedEndpoint, waitForChange } from '@reembed/endpoint'
import { type PlannedRun, planCorpus } from '@reembed/planner'
import { enqueueRun, followRun, type PublishOutcome, publish, recordRun } from '@reembed/producer'
import { type Manifest, type Plan, type RunBudget, readManifest } from '@reembed/protocol'
import { openQueue, type Queue, type RedisTarget } from '@reembed/queue'
import {
  createProgressLine,
  describeFinishedRun,
  describePlan,
  describeQuote,
  duration,
  finishedRunData,
  type Row,
  unreadWarning,
} from '@reembed/render'
import { EXIT, faultOf, ReembedError, shellWord, unlessAborted } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startWorker, type Worker } from '@reembed/worker'
import { explain } from '../explain.ts'
import { onInterrupt } from '../interrupt.ts'
import { notePlan, remedyOf } from '../notices.ts'
import {
  openOrStartEndpoint,
  openOrStartRedis,
  openOutput,
  openSource,
  requireRedis,
  s3OptionsOf,
} from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags, RedisFlags, WorkerFlags } from '../options.ts'
import { facts, note, noteLines, print, shortId } from '../output.ts'
import { actorOf, planOptionsOf } from '../requests.ts'
import { steps } from '../step-line.ts'

export type FollowFlags = OutputFlags &
  RedisFlags &
  WorkerFlags &
  JsonFlag & {
    readonly whenDone: 'keep' | 'sleep' | 'pause'
    readonly maxRejects?: string
    readonly maxTruncated?: string
  }

/** Time for the replies in flight when the command is interrupted. */
export const INTERRUPT_MS = 5_000

/**
 * `reembed run`: plans, enqueues and follows a run. The same command continues an interrupted run.
 */
export async function run(flags: CorpusFlags & FollowFlags): Promise<void> {
  const startedMs = Date.now()
  const options = planOptionsOf(flags)
  await using stack = new AsyncDisposableStack()
  const interrupted = stack.adopt(onInterrupt(INTERRUPT_MS), ({ stop }) => stop()).signal
  // Nothing is made before the first job, so an interrupt ends whatever planning waits for.
  const prepared = await unlessInterrupted(interrupted, async () => {
    steps.show('opening the source')
    const corpus = stack.use(await openSource(flags))
    steps.show('checking that the output never overwrites')
    const store = stack.use(await openOutput(flags))
    // Planning takes long and may start endpoints: a wrong Redis ends the command before it.
    const queue = flags.redis ? await openRunQueue(flags, stack, interrupted) : undefined
    const endpoint: EndpointResolver = onState => openOrStartEndpoint(flags, stack, { onState })
    const planned = await planCorpus(corpus, endpoint, options, {
      output: store,
      redis: flags.redis ? requireRedis(flags) : undefined,
      publishesFinished: true,
      onNotice: notePlan,
      signal: interrupted,
    })
    // Its worker also serves older runs of the output, whose corpora the default allows.
    const isLocal = corpus.store.url.startsWith('/') && !store.url.startsWith('/')
    const sources = isLocal ? [corpus.store.url] : undefined
    return { store, queue, sources, endpoint: planned.endpoint, planned }
  })
  await executeRun(prepared.planned, flags, { ...prepared, stack, interrupted, startedMs })
}

/** The outcome of `step`; an interrupt ends the command at once, whatever `step` waits for. */
export const unlessInterrupted = <T>(interrupted: AbortSignal, step: () => Promise<T>): Promise<T> =>
  unlessAborted(interrupted, step()).catch((error: unknown) => {
    throw interrupted.aborted ? interruptedError('the same command continues') : error
  })

interface RunQueue {
  readonly redis: RedisTarget
  readonly isPrivate: boolean
  readonly queue: Queue
}

/** The queue of the given Redis, else of a private one. */
async function openRunQueue(
  flags: RedisFlags,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<RunQueue> {
  const { target, isPrivate } = await openOrStartRedis(flags, stack)
  return { redis: target, isPrivate, queue: stack.use(await openQueue(target, { signal })) }
}

export interface RunResources {
  readonly store: Store
  /** Opened after planning if it is not given. */
  readonly queue?: RunQueue | undefined
  /** The corpora that the worker of this process may read; see `WorkerOptions`. */
  readonly sources?: readonly string[] | undefined
  readonly endpoint: ResolvedEndpoint
  readonly stack: AsyncDisposableStack
  readonly interrupted: AbortSignal
  readonly startedMs: number
}

/** Records the planned run, processes its jobs and follows it to its end. */
export async function executeRun(
  planned: PlannedRun & { readonly budget: RunBudget },
  flags: FollowFlags,
  resources: RunResources,
): Promise<void> {
  const { store, stack, interrupted, startedMs } = resources
  steps.show('recording the plan')
  const recorded = await unlessInterrupted(interrupted, () => recordRun(store, planned))
  const { plan, created, manifest: finished } = recorded
  noteLines(facts([...describePlan(planned), ...(created && plan.quote ? describeQuote(plan.quote) : [])]))
  if (finished) {
    const outcome = await publishAgain(finished, plan, flags, resources)
    conclude(flags, { store, plan }, finished, outcome, [
      'note',
      'nothing to do: this run is already finished',
    ])
    return
  }
  if (!created) note('continuing a run that was started earlier')

  const opened =
    resources.queue ?? unlessInterrupted(interrupted, () => openRunQueue(flags, stack, interrupted))
  const { redis, isPrivate, queue } = await opened
  steps.show('enqueueing the jobs')
  // A wrong model, token or right, or an id that occurs twice, ends the command at once.
  const blocked = new AbortController()
  const { worker, jobErrors } = await unlessInterrupted(interrupted, () =>
    startLocalWorker(redis, plan, flags, resources, blocked),
  )
  watchEndpoint(resources, blocked)
  // On interrupt, jobs in flight write checkpoints when their last replies arrive, and are
  // requeued, so that other workers need not wait for their locks to expire.
  stack.adopt(worker, () => worker.drain(INTERRUPT_MS))
  const onCarried = (shards: number): void =>
    steps.show(`carrying over unchanged shards: ${shards} of ${plan.shards}`)
  await unlessInterrupted(interrupted, () =>
    enqueueRun(store, queue, recorded, { signal: interrupted, onCarried }),
  )
  await servePage(redis, plan, resources)
  steps.end()

  const line = stack.adopt(createProgressLine(process.stderr), ({ end }) => end())
  const outcome = await followRun({
    store,
    queue,
    plan,
    signal: AbortSignal.any([interrupted, blocked.signal]),
    onProgress: progress =>
      line.show({ ...progress, endpoint: worker.endpointState, endpointErrors: jobErrors() }),
  }).catch((error: unknown) => {
    if (blocked.signal.aborted) throw blocked.signal.reason
    if (!interrupted.aborted) throw error
    throw interruptedError(
      isPrivate ? 'the same command continues' : 'other workers continue, and so does the same command',
    )
  })
  line.end()
  await releaseEndpoint(flags, resources)
  const manifest = await readManifest(store, plan.run)
  if (!manifest)
    throw new ReembedError('CORRUPT', `the manifest of run ${plan.run} no longer exists in ${store.url}`)
  conclude(flags, { store, plan }, manifest, outcome, ['took', duration(Date.now() - startedMs)])
}

/**
 * Serves the page of the run while the command lasts: for a person at a terminal, or at the address
 * in REEMBED_CONSOLE. A log of a scheduler gets no link that is dead when it is read.
 */
async function servePage(redis: RedisTarget, plan: Plan, { store, stack }: RunResources): Promise<void> {
  const listen = process.env.REEMBED_CONSOLE || (process.stderr.isTTY ? '0' : undefined)
  if (listen === undefined) return
  const { servePages } = await import('../page-commands.ts')
  // The run needs no page: a busy port must not end it.
  await servePages(listen, { stores: [store], redis }, stack).then(
    url => note(`page     ${url}/runs/${plan.run}`),
    (error: unknown) => note(`warning: this run has no page: ${explain(error)}`),
  )
}

/** Publishes a finished run that was held before, for example with a higher --max-rejects. */
async function publishAgain(
  manifest: Manifest,
  plan: Plan,
  { maxRejects = plan.maxRejects, maxTruncated = plan.maxTruncated }: FollowFlags,
  { store, interrupted: signal }: RunResources,
): Promise<PublishOutcome> {
  const conditions = { ...plan, maxRejects, maxTruncated, signal, actor: actorOf({}) }
  return publish(store, manifest, conditions).catch((error: unknown) => {
    throw signal.aborted ? interruptedError('the same command continues') : error
  })
}

async function startLocalWorker(
  redis: RedisTarget,
  plan: Plan,
  flags: FollowFlags,
  { store, sources, endpoint, interrupted: signal }: RunResources,
  blocked: AbortController,
): Promise<{ worker: Worker; jobErrors: () => number }> {
  let errors = 0
  const worker = await startWorker({
    redis,
    endpoint: endpoint.url,
    endpointOptions: endpoint.options,
    outputs: [store.url],
    sources,
    concurrency: flags.concurrency,
    s3: s3OptionsOf(flags),
    unsafeStore: flags.unsafeStore,
    log: openLog({ level: process.env.REEMBED_LOG ?? 'silent' }),
    signal,
    // The worker also serves older unfinished runs, whose model or corpus may no longer exist.
    onJobError: (error, { run = plan.run }) => {
      if (run !== plan.run) return
      errors += 1
      const isBlocking = error instanceof ReembedError && error.code === 'DUPLICATE_ID'
      if (isBlocking || faultOf(error) === 'worker') blocked.abort(error)
    },
  })
  return { worker, jobErrors: () => errors }
}

/** Ends the command when a Hugging Face endpoint is paused, fails or changes. */
function watchEndpoint({ endpoint: { hf }, stack }: RunResources, blocked: AbortController): void {
  if (!hf) return
  const watched = new AbortController()
  stack.defer(() => watched.abort())
  void waitForChange(hf.api, hf.name, hf.initial, { signal: watched.signal }).then(
    reason => reason && blocked.abort(reason),
  )
}

/** Applies --when-done to a Hugging Face endpoint. */
async function releaseEndpoint({ whenDone }: FollowFlags, { endpoint: { hf } }: RunResources): Promise<void> {
  if (!hf || whenDone === 'keep') return
  await hf.api[whenDone](hf.name)
  note(`endpoint  ${hf.name.name} ${whenDone === 'sleep' ? 'is scaled to zero' : 'is paused'}`)
}

const interruptedError = (left: string): ReembedError =>
  new ReembedError('INTERRUPTED', `stopped: completed shards are kept, ${left}`)

/** Prints the result and sets the exit code: 3 for a run that is finished and not published. */
function conclude(
  flags: JsonFlag & Pick<OutputFlags, 'output'>,
  { store, plan }: { readonly store: Store; readonly plan: Plan },
  manifest: Manifest,
  outcome: PublishOutcome,
  last: readonly [string, string],
): void {
  const { totals, run: id } = manifest
  print(
    flags.json,
    finishedRunData(manifest, outcome),
    facts([
      ...describeFinishedRun(manifest, outcome, store.url),
      last,
      ...rejectsRow(flags.output, manifest, outcome),
      ['next', nextStep(flags.output, id, outcome)],
    ]),
  )
  const warning = unreadWarning(totals)
  if (warning) note(`${warning}. ${remedyOf(plan.texts)}`)
  if (outcome.status === 'held' || outcome.status === 'superseded') process.exitCode = EXIT.notPublished
}

/** How to list the rejects of a run that was published with some. */
const rejectsRow = (output: string, { run, totals }: Manifest, outcome: PublishOutcome): Row[] =>
  totals.rejects === 0 || outcome.status === 'held'
    ? []
    : [['rejects', `\`reembed rejects ${shortId(run)} --output ${shellWord(output)}\` lists them`]]

/** The command with which most users continue. */
function nextStep(folder: string, run: string, outcome: PublishOutcome): string {
  const [name, output] = [shortId(run), shellWord(folder)]
  if (outcome.status === 'superseded') return `\`reembed ls --output ${output}\` lists the runs`
  if (outcome.status !== 'held') return `\`reembed search "some words" --output ${output}\``
  switch (outcome.by) {
    case 'rejects':
      return `\`reembed rejects ${name} --output ${output}\` lists them`
    case 'truncation':
      return `\`reembed publish ${name} --max-truncated 100% --output ${output}\` publishes it nevertheless`
    case 'gates':
      return `\`reembed report current ${name} --output ${output}\` compares it, \`reembed publish ${name} --force\` publishes it`
  }
}
