// The SDK: the pipeline as calls of a program. No environment variables, no output, no exit:
// everything comes in by options and out by results, errors, callbacks and the logger.

import type { EndpointResolver } from '@reembed/endpoint'
import { type ScoredRun, scoreRun, type Verification, type VerifyOptions, verify } from '@reembed/evaluate'
import { findRun, openCorpus, planCorpus, plannedRuns } from '@reembed/planner'
import {
  createSweeper,
  followRun,
  forcePublish,
  listVersions,
  type PlanningStatus,
  type PublishedVersion,
  type PublishOutcome,
  publish,
  type RunStatus,
  readPlanningStatus,
  readRunStatus,
  resumeRun,
  rollback,
  type SweepOutcome,
  stopRun,
  submitRun,
} from '@reembed/producer'
import { type LoadRecord, type Manifest, requirePlan } from '@reembed/protocol'
import { type EmbeddingBatch, readEmbeddings, requireManifest } from '@reembed/shard'
import { absoluteUrl, isRunId, ReembedError } from '@reembed/shared'
import type { LoadOutcome, SwitchOutcome, VectorStore } from '@reembed/sinks'
import type { Store } from '@reembed/store'
import { SILENT } from './log.ts'
import type {
  CallOptions,
  DecisionOptions,
  DropOptions,
  EnqueuedRun,
  EvaluateOptions,
  LoadOptions,
  PublishOptions,
  ReadOptions,
  ReembedOptions,
  ResumeOptions,
  RunningWorker,
  RunPlan,
  SourceOptions,
  SwitchOptions,
  WaitOptions,
  WorkerOptions,
} from './options.ts'
import { once, openResources, type Resources, unlessAborted } from './resources.ts'
import { createIdleSignal, withSweeps } from './worker.ts'

/**
 * A client of one output. Every call may be repeated: what was done is not done again. Where a call
 * takes a run, it takes its id or the first letters of it.
 *
 * Every call rejects with a `ReembedError` (see `isReembedError`), or with the reason of its
 * signal. Besides the codes that a call names, these can come from each: `USAGE`,
 * `STORE_UNREACHABLE`, `STORE_ACCESS_DENIED`, and from calls that use Redis `REDIS_UNREACHABLE` and
 * `REDIS_MISCONFIGURED`.
 */
export interface Reembed extends AsyncDisposable {
  /**
   * Plans a run and estimates what it takes. Writes nothing, embeds a few texts.
   *
   * @param source a folder, a file, a glob, `s3://bucket/prefix` or
   * `hf://datasets/org/name@revision/path`
   * @throws ReembedError `SOURCE_NOT_FOUND`, `SOURCE_EMPTY`, `SOURCE_FORMAT`, `FIELD_NOT_FOUND`,
   * `OUTPUT_INSIDE_SOURCE`, `ENDPOINT_UNREACHABLE`, `ENDPOINT_ACCESS_DENIED`,
   * `ENDPOINT_UNSUPPORTED`
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors', endpoint: 'http://127.0.0.1:8080' })
   * const { shards, documents, quote } = await reembed.plan('./docs')
   * console.log(`${documents} documents in ${shards} shards, about ${quote?.tokens} tokens`)
   * ```
   */
  plan(source: string, options?: SourceOptions): Promise<RunPlan>

  /**
   * Plans a run, records it and puts its missing shards on the queue. Idempotent: a second call
   * with the same corpus, model and options finds the same run.
   *
   * @throws ReembedError as `plan`; `RUN_STOPPED` for a run that is paused, cancelled or being
   * deleted; `MODEL_MISMATCH` where the endpoint serves another model under the name of a known
   * one; `STORE_UNSAFE`
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({
   *   output: './vectors',
   *   redis: 'redis://127.0.0.1:6379',
   *   endpoint: 'http://127.0.0.1:8080',
   * })
   * const { run, enqueued } = await reembed.enqueue('./docs', { fields: { carry: ['lang'] } })
   * console.log(`run ${run}: ${enqueued} jobs`)
   * ```
   */
  enqueue(source: string, options?: SourceOptions): Promise<EnqueuedRun>

  /**
   * Starts a worker in this process. It takes jobs until it is drained, disposed or its signal
   * aborts; an abort requeues its jobs immediately.
   *
   * @throws ReembedError `REDIS_UNREACHABLE`, `REDIS_MISCONFIGURED`. An endpoint that does not
   * answer is waited for.
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({
   *   output: './vectors',
   *   redis: 'redis://127.0.0.1:6379',
   *   endpoint: 'http://127.0.0.1:8080',
   * })
   * const worker = await reembed.startWorker({ concurrency: 4 })
   * process.once('SIGTERM', () => worker.drain(20_000))
   * ```
   */
  startWorker(options?: WorkerOptions): Promise<RunningWorker>

  /**
   * Moves every unpublished run one step on: enqueues what is missing, finalizes and publishes what
   * is complete. Workers sweep by themselves; a program without workers calls this on a schedule. A
   * run that cannot be finalized is reported once per client, as `broken`.
   *
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors', redis: 'redis://127.0.0.1:6379' })
   * for (const outcome of await reembed.sweep()) console.log(outcome.run, outcome.status)
   * ```
   */
  sweep(options?: CallOptions): Promise<SweepOutcome[]>

  /**
   * Resolves when the run is finished, and published or held. Sweeps meanwhile; workers must run
   * somewhere.
   *
   * @throws ReembedError `RUN_NOT_FOUND`; `SHARD_FAILED` when all missing shards have failed
   * permanently; `RUN_STOPPED` when the run is paused, cancelled or deleted meanwhile;
   * `UNBALANCED`, `CORRUPT`, `DUPLICATE_ID` when it cannot be finalized
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors', redis: 'redis://127.0.0.1:6379' })
   * const { run } = await reembed.status()
   * const outcome = await reembed.wait(run, {
   *   onProgress: ({ shardsDone, shards }) => console.log(shardsDone, shards),
   * })
   * if (outcome.status === 'held') console.error(outcome.reason)
   * ```
   */
  wait(run: string, options?: WaitOptions): Promise<PublishOutcome>

  /**
   * Every planned run of the output, newest first.
   *
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * for (const run of await reembed.runs()) console.log(run, (await reembed.status(run)).state)
   * ```
   */
  runs(options?: CallOptions): Promise<string[]>

  /**
   * The state of a run. Default: the newest run.
   *
   * @throws ReembedError `RUN_NOT_FOUND`
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const { state, shardsDone, shards } = await reembed.status()
   * console.log(`${state}, ${shardsDone} of ${shards} shards`)
   * ```
   */
  status(run?: string, options?: CallOptions): Promise<RunStatus>

  /**
   * The runs of this output that are being planned by any process on the same Redis. Such a run has
   * no id yet. Empty without `redis`.
   *
   * @throws ReembedError `REDIS_UNREACHABLE`
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors', redis: 'redis://localhost:6379' })
   * for (const { planner, sentence } of await reembed.planning()) console.log(planner, sentence)
   * ```
   */
  planning(options?: CallOptions): Promise<PlanningStatus[]>

  /**
   * Reads every shard of a run whole and checks that receipts tile the corpus, ids are unique,
   * vectors are finite and hashes match. Default: the run of the current version. With `part`,
   * '3/16' for example, it does a 16th of that: the run is verified when each part is.
   *
   * @throws ReembedError `RUN_NOT_FOUND`; `UNBALANCED`, `CORRUPT`, `DUPLICATE_ID` with the first
   * object that fails
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const { totals } = await reembed.verify()
   * console.log(`${totals.documents} documents = ${totals.rows} rows + ${totals.rejects} rejects`)
   * ```
   */
  verify(run?: string, options?: CallOptions & Pick<VerifyOptions, 'part'>): Promise<Verification>

  /**
   * Scores a finished run, of the current version by default, with judged queries: embeds the
   * queries with the endpoint, which must serve the model of the run, and compares them with every
   * vector. The scores are stored, and are the baseline of later gates.
   *
   * @param run a finished run; undefined: that of the current version
   * @throws ReembedError `RUN_NOT_FOUND`; `MODEL_MISMATCH`; `USAGE` for files, with file and line
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors', endpoint: 'http://127.0.0.1:8080' })
   * const queries = [{ id: 'q1', text: 'how to reset a password', relevant: { d17: 1 } }]
   * const { means } = await reembed.evaluate(undefined, { queries })
   * console.log(means['recall@10'], means['ndcg@10'])
   * ```
   */
  evaluate(run: string | undefined, options: EvaluateOptions): Promise<ScoredRun>

  /**
   * Every published version, newest first; the first one is current. Each with its run and model,
   * when, by which actor and why it was published, and despite what.
   *
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * for (const { version, run, at } of await reembed.versions()) console.log(version, run, at)
   * ```
   */
  versions(options?: CallOptions): Promise<PublishedVersion[]>

  /**
   * Makes a finished run current. Runs are published by sweeps; this is for a run that was held.
   *
   * @throws ReembedError `RUN_NOT_FOUND`, also for a run that is not finished
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const { run } = await reembed.status()
   * const outcome = await reembed.publish(run, { maxRejects: '2%' })
   * console.log(outcome.status)
   * ```
   */
  publish(run: string, options?: PublishOptions): Promise<PublishOutcome>

  /**
   * Makes an earlier run current again, as a new version. Default: the run before the current
   * version.
   *
   * @throws ReembedError `RUN_NOT_FOUND` where no earlier version exists, or the run is not
   * finished
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const outcome = await reembed.rollback()
   * console.log(outcome.status)
   * ```
   */
  rollback(run?: string, options?: DecisionOptions): Promise<PublishOutcome>

  /**
   * Workers start no more jobs of the run; jobs in flight finish. `resume` continues it.
   *
   * @throws ReembedError `RUN_NOT_FOUND`; `USAGE` for a finished run
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const { run } = await reembed.status()
   * await reembed.pause(run)
   * ```
   */
  pause(run: string, options?: DecisionOptions): Promise<void>

  /**
   * As `pause`, for a run that will not be continued. `resume` continues it nevertheless.
   *
   * @throws ReembedError `RUN_NOT_FOUND`; `USAGE` for a finished run
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const { run } = await reembed.status()
   * await reembed.cancel(run)
   * ```
   */
  cancel(run: string, options?: DecisionOptions): Promise<void>

  /**
   * Continues a paused or cancelled run. With Redis its missing shards are enqueued at once,
   * without Redis by the next sweep.
   *
   * @returns the number of jobs put on the queue; undefined without Redis
   * @throws ReembedError `RUN_NOT_FOUND`; `RUN_STOPPED` for a run that is being deleted; `USAGE`
   * for a run that has used up its budget and gets no other
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors', redis: 'redis://127.0.0.1:6379' })
   * const { run } = await reembed.status()
   * await reembed.resume(run, { spending: { maxTokens: 2_000_000 } })
   * ```
   */
  resume(run: string, options?: ResumeOptions): Promise<number | undefined>

  /**
   * The manifest of a finished run, of the current version by default: model, revision, prompts,
   * totals. A program that embeds queries reads the model and the query prompt here, so that
   * documents and queries change models together.
   *
   * @throws ReembedError `RUN_NOT_FOUND` where nothing is published, or the run is not finished
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const { model, queryPrompt } = await reembed.manifest()
   * console.log(model.id, model.revision, queryPrompt ?? '')
   * ```
   */
  manifest(options?: Omit<ReadOptions, 'extra'>): Promise<Manifest>

  /**
   * All rows of a finished run, of the current version by default, in the order of the corpus. A
   * batch is one row group, about 4 MiB. `vectors` has `ids.length × dimensions` values; row i
   * begins at `i × dimensions`.
   *
   * @throws ReembedError `RUN_NOT_FOUND` where nothing is published, or the run is not finished;
   * `CORRUPT` for a damaged shard
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * for await (const { ids, vectors, dimensions } of reembed.read()) {
   *   ids.forEach((id, row) => console.log(id, vectors.subarray(row * dimensions, (row + 1) * dimensions)))
   * }
   * ```
   */
  read(options?: ReadOptions): AsyncGenerator<EmbeddingBatch, void, undefined>

  /**
   * Loads a finished run, of the current version by default, into a vector store, and proves that
   * the store holds exactly the run: counts its rows, and compares a sample. With `redis`, workers
   * that name the store write the shards; else this process does. Idempotent: a load that was
   * stopped continues. Searches do not use the run before `switchTo`.
   *
   * @param to `postgres://user@host/database`, `lancedb:./folder`, `lancedb+s3://bucket/prefix`,
   * `milvus+https://host:19530/database`, `qdrant+https://host:6333`,
   * `elasticsearch+https://host:9200` or `opensearch+https://host:9200`. The client of PostgreSQL,
   * LanceDB or Milvus must be installed; the error names its package.
   * @throws ReembedError `RUN_NOT_FOUND`; `CORRUPT` for a damaged shard; `UNBALANCED` where the
   * vector store does not hold what was written; `SHARD_FAILED` from workers
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const search = 'postgres://app@127.0.0.1/search'
   * const { record, proof } = await reembed.load(search, { name: 'wiki' })
   * console.log(`${record.target} holds ${proof.rows} rows`)
   * ```
   */
  load(to: string, options?: LoadOptions): Promise<LoadOutcome>

  /**
   * Points the name that searches use to the run of the current version, or with `back` to the
   * target before. Searches use one of the two, each as a whole. Embed queries with the model and
   * the prompt of the manifest in the outcome from then on. Idempotent.
   *
   * @throws ReembedError `RUN_NOT_FOUND` where nothing is published, the current version is not
   * loaded, or no target is left to return to; `UNBALANCED` where the target does not hold its load
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const search = 'postgres://app@127.0.0.1/search'
   * const { target, manifest } = await reembed.switchTo(search, { name: 'wiki' })
   * console.log(`searches use ${target}, queries need ${manifest.model.id}`)
   * ```
   */
  switchTo(to: string, options?: SwitchOptions): Promise<SwitchOutcome>

  /**
   * Deletes the targets of a run from a vector store, except one that searches use. The run stays
   * in the output.
   *
   * @throws ReembedError `RUN_NOT_FOUND` where the store has no target of the run; `USAGE` where
   * searches use its only target
   * @example
   * ```ts
   * import { createReembed } from 'reembed'
   *
   * await using reembed = createReembed({ output: './vectors' })
   * const [, earlier] = await reembed.versions()
   * const search = 'postgres://app@127.0.0.1/search'
   * if (earlier) await reembed.drop(search, earlier.run, { name: 'wiki' })
   * ```
   */
  drop(to: string, run: string, options?: DropOptions): Promise<LoadRecord>
}

/**
 * A client of one output. It opens nothing before the first call; dispose it to close its
 * connections.
 *
 * @throws ReembedError `USAGE` for an empty `output`
 * @example
 * ```ts
 * import { createReembed } from 'reembed'
 *
 * await using reembed = createReembed({
 *   output: './vectors',
 *   redis: 'redis://127.0.0.1:6379',
 *   endpoint: 'http://127.0.0.1:8080',
 * })
 * const { run } = await reembed.enqueue('./docs')
 * await using worker = await reembed.startWorker()
 * const outcome = await reembed.wait(run)
 * console.log(outcome.status, worker.endpointState)
 * ```
 */
export function createReembed(options: ReembedOptions): Reembed {
  if (options.output === '') {
    throw new ReembedError('USAGE', '`output` is empty: pass a folder or s3://bucket/prefix', {
      option: 'output',
    })
  }
  const resources = openResources(options)
  return {
    ...planningCalls(resources, options),
    ...workCalls(resources, options),
    ...runCalls(resources, options),
    ...readingCalls(resources, options),
    ...storeCalls(resources, options),
    [Symbol.asyncDispose]: () => resources[Symbol.asyncDispose](),
  }
}

function planningCalls(
  resources: Resources,
  { s3, redis }: ReembedOptions,
): Pick<Reembed, 'plan' | 'enqueue'> {
  const openSource = (source: string, { format, csv, signal }: SourceOptions) =>
    openCorpus(source, { format, csv, output: resources.output, s3, signal })
  return {
    async plan(source, options = {}) {
      const { onNotice, signal } = options
      await using corpus = await openSource(source, options)
      const endpoint: EndpointResolver = () => resources.endpoint(onNotice, signal)
      const previousOutput = await existing(resources.store(signal))
      const planned = await orReason(
        signal,
        planCorpus(corpus, endpoint, options, { previousOutput, onNotice, signal }),
      )
      const { run, recipe, shards, estimatedDocuments, quote } = planned.head
      return {
        run,
        model: recipe.model,
        fields: recipe.fields,
        shards,
        documents: estimatedDocuments,
        quote,
        documentsToEmbed: planned.reuse?.toEmbed,
      }
    },

    async enqueue(source, options = {}) {
      const { onNotice, signal } = options
      const queue = await resources.queue(signal)
      await using corpus = await openSource(source, options)
      const store = await resources.writableStore(signal)
      const endpoint: EndpointResolver = onState =>
        resources.endpoint(notice => {
          onNotice?.(notice)
          if (notice.kind === 'endpoint_state') onState(notice.state)
        }, signal)
      const context = { output: store, redis, onNotice, signal }
      const planned = await orReason(signal, planCorpus(corpus, endpoint, options, context))
      signal?.throwIfAborted()
      const { plan, created, manifest, enqueued, shardsDone } = await submitRun(store, queue, planned)
      const { run, shards } = plan
      return { run, shards, shardsDone, enqueued, created, finished: manifest !== undefined }
    },
  }
}

function workCalls(
  resources: Resources,
  { s3, log = SILENT, endpointOptions, unsafeStore }: ReembedOptions,
): Pick<Reembed, 'startWorker' | 'sweep' | 'wait'> {
  const sweeper = once(async () => createSweeper(await resources.writableStore(), await resources.queue()))
  return {
    async startWorker({ outputs, sinks, sweep = true, signal, ...options } = {}) {
      const queue = await resources.queue(signal)
      const { url, options: resolved } = await resources.endpoint(undefined, signal)
      // Loaded by the first worker: programs that only enqueue or read never need it.
      const { startWorker } = await import('@reembed/worker')
      const loader = sinks?.length ? (await import('@reembed/sinks')).createShardLoader(sinks) : undefined
      const idle = createIdleSignal()
      const served = outputs?.map(url => absoluteUrl(url)) ?? [resources.output]
      const worker = await startWorker({
        ...options,
        redis: resources.redis(),
        endpoint: url,
        endpointOptions: { ...endpointOptions, ...resolved },
        outputs: served,
        s3,
        log,
        signal,
        loader,
        onIdle: idle.notify,
        unsafeStore,
      })
      const open = resources.openOutput
      const running = sweep ? withSweeps({ worker, queue, idle, outputs: served, open, log }) : worker
      const abort = (): void => void running[Symbol.asyncDispose]()
      signal?.addEventListener('abort', abort, { once: true })
      if (signal?.aborted) abort()
      return running
    },

    async sweep({ signal } = {}) {
      const { sweep } = await unlessAborted(signal, sweeper)
      return orReason(signal, sweep(signal))
    },

    async wait(name, { onProgress, signal = new AbortController().signal } = {}) {
      const store = await resources.writableStore(signal)
      const plan = await requirePlan(store, await findRun(store, name, 'newest'))
      const queue = await resources.queue(signal)
      return orReason(signal, followRun({ store, queue, plan, onProgress, signal }))
    },
  }
}

function runCalls(
  resources: Resources,
  { redis }: ReembedOptions,
): Pick<
  Reembed,
  | 'runs'
  | 'versions'
  | 'status'
  | 'planning'
  | 'verify'
  | 'publish'
  | 'rollback'
  | 'pause'
  | 'cancel'
  | 'resume'
> {
  const stop = async (
    name: string,
    state: 'paused' | 'cancelled',
    { signal, by, reason }: DecisionOptions = {},
  ): Promise<void> => {
    const store = await resources.writableStore(signal)
    await stopRun(store, await findRun(store, name, 'newest'), state, { by, reason })
  }
  return {
    runs: async ({ signal } = {}) => plannedRuns(await resources.store(signal)),
    versions: async ({ signal } = {}) => orReason(signal, listVersions(await resources.store(signal))),

    async status(name, { signal } = {}) {
      const store = await resources.store(signal)
      const run = await findRun(store, name, 'newest')
      return readRunStatus(store, redis ? await resources.queue(signal) : undefined, run)
    },

    async planning({ signal } = {}) {
      const store = await resources.store(signal)
      return readPlanningStatus(store, redis ? await resources.queue(signal) : undefined)
    },

    async verify(name, { part, signal } = {}) {
      const store = await resources.store(signal)
      const run = await findRun(store, name, name === undefined ? 'current' : 'newest')
      return orReason(signal, verify(store, run, { part, signal }))
    },

    async publish(name, { maxRejects, maxTruncated, force = false, by, reason, signal } = {}) {
      const store = await resources.writableStore(signal)
      const run = await findRun(store, name, 'newest')
      const plan = await requirePlan(store, run)
      const manifest = await requireManifest(store, run)
      if (force) return forcePublish(store, manifest, plan, { by, reason })
      const conditions = {
        ...plan,
        maxRejects: maxRejects ?? plan.maxRejects,
        maxTruncated: maxTruncated ?? plan.maxTruncated,
        actor: { by, reason },
        signal,
      }
      return orReason(signal, publish(store, manifest, conditions))
    },

    async rollback(name, { by, reason, signal } = {}) {
      const store = await resources.writableStore(signal)
      const run = name === undefined ? undefined : await findRun(store, name, 'newest')
      return rollback(store, run, { by, reason })
    },

    pause: (name, options) => stop(name, 'paused', options),
    cancel: (name, options) => stop(name, 'cancelled', options),

    async resume(name, { spending, by, reason, signal } = {}) {
      const store = await resources.writableStore(signal)
      const run = await findRun(store, name, 'newest')
      const queue = redis ? await resources.queue(signal) : undefined
      return resumeRun(store, run, { spending, queue, actor: { by, reason } })
    },
  }
}

function readingCalls(
  resources: Resources,
  { s3 }: ReembedOptions,
): Pick<Reembed, 'manifest' | 'evaluate' | 'read'> {
  return {
    async manifest({ run, signal } = {}) {
      const store = await resources.store(signal)
      return requireManifest(store, run && (await findRun(store, run, 'newest')))
    },

    async evaluate(name, { queries, top = 10, queryPrompt, signal }) {
      const store = await resources.store(signal)
      const run = await findRun(store, name, name === undefined ? 'current' : 'newest')
      const endpoint: EndpointResolver = () => resources.endpoint(undefined, signal)
      const source = 'queriesFile' in queries ? { ...queries, s3 } : queries
      return orReason(signal, scoreRun(store, endpoint, { run, queries: source, top, queryPrompt, signal }))
    },

    async *read({ run: name, extra, signal } = {}) {
      const run = name && (await findRun(await resources.store(signal), name, 'newest'))
      yield* readEmbeddings(resources.output, { run, extra, s3, signal })
    },
  }
}

function storeCalls(
  resources: Resources,
  { redis }: ReembedOptions,
): Pick<Reembed, 'load' | 'switchTo' | 'drop'> {
  /** Loaded by the first call: programs that only embed or read never need it. */
  async function withVectors<T>(
    to: string,
    signal: AbortSignal | undefined,
    work: (vectors: VectorStore, sinks: typeof import('@reembed/sinks')) => Promise<T>,
  ): Promise<T> {
    const sinks = await import('@reembed/sinks')
    await using vectors = await orReason(signal, sinks.openVectorStore(to))
    signal?.throwIfAborted()
    return await orReason(signal, work(vectors, sinks))
  }
  return {
    async load(to, { run: name, signal, ...options } = {}) {
      const store = await resources.writableStore(signal)
      const run = await findRun(store, name, name === undefined ? 'current' : 'newest')
      const manifest = await requireManifest(store, run)
      const queue = redis ? await resources.queue(signal) : undefined
      return withVectors(to, signal, (vectors, { loadRun }) =>
        loadRun(store, manifest, vectors, { ...options, queue, signal }),
      )
    },

    async switchTo(to, options = {}) {
      const store = await resources.writableStore(options.signal)
      return withVectors(to, options.signal, (vectors, { switchStore }) =>
        switchStore(store, vectors, options),
      )
    },

    async drop(to, name, { signal, ...options } = {}) {
      const store = await resources.writableStore(signal)
      // A whole id needs no plan: the run may have been deleted before.
      const run = isRunId(name) ? name : await findRun(store, name, 'current')
      return withVectors(to, signal, (vectors, { dropTarget }) => dropTarget(store, vectors, run, options))
    },
  }
}

/** A plan needs no output: without one nothing can be reused. */
async function existing(opening: Promise<Store>): Promise<Store | undefined> {
  try {
    return await opening
  } catch (error) {
    if (error instanceof ReembedError && error.code === 'SOURCE_NOT_FOUND') return undefined
    throw error
  }
}

/**
 * Timers and sockets reject with an AbortError of their own: the caller gets the reason that it
 * gave.
 */
async function orReason<T>(signal: AbortSignal | undefined, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw signal?.aborted ? signal.reason : error
  }
}
