// Options and results of the SDK.

import type { EndpointOptions, HfOptions } from '@reembed/endpoint'
import type { EvaluationQuery, JudgedQueryFiles } from '@reembed/evaluate'
import type { PlanNotice, PlanOptions, SpendingOptions } from '@reembed/planner'
import type { FollowProgress } from '@reembed/producer'
import type { CsvDialect, FieldMapping, Format, ModelIdentity, Quote } from '@reembed/protocol'
import type { RedisTarget } from '@reembed/queue'
import type { ReembedError } from '@reembed/shared'
import type { LoadOptions as SinkLoadOptions } from '@reembed/sinks'
import type { S3Options } from '@reembed/store'
import type { Logger, Registry } from '@reembed/telemetry'
import type { JobFailure } from '@reembed/worker'

/** What a client works with. Nothing is opened before the first call that needs it. */
export interface ReembedOptions {
  /** Where runs are written and read: a folder, `file:///folder` or `s3://bucket/prefix`. */
  readonly output: string
  /**
   * Redis 6.2 or newer, by its `redis://` or `rediss://` URL. Required to enqueue, work, sweep and
   * wait. A Redis on another machine with neither password nor TLS is refused, unless given as `{
   * url, insecure: true }`.
   */
  readonly redis?: RedisTarget | undefined
  /**
   * A TEI or OpenAI-compatible server: `http://` or `https://` URL, several separated by commas,
   * `dns+http://` for all addresses of a name, or `hf:namespace/name`. Required to plan, enqueue
   * and work.
   */
  readonly endpoint?: string | undefined
  /** Token, model and revision of the endpoint. */
  readonly endpointOptions?: EndpointOptions | undefined
  /**
   * Access to the management API of Hugging Face, for `hf:` endpoints; default: the token of
   * `endpointOptions`.
   */
  readonly hf?: HfOptions | undefined
  /** S3 server, region and limits. Credentials come from the AWS SDK's default chain. */
  readonly s3?: S3Options | undefined
  /** Writes to an S3 store that ignores `If-None-Match`. Safe with a single worker only. */
  readonly unsafeStore?: boolean | undefined
  /** Receives events of workers and sweeps. A logger of pino fits. Default: none. */
  readonly log?: Logger | undefined
}

/**
 * When the signal aborts, the call rejects with the signal's reason. Written data is kept, and the
 * same call continues from it.
 */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/** How a corpus becomes a run. The same corpus, model and options give the same run. */
export interface SourceOptions extends PlanOptions, CallOptions {
  /** The format of all objects; default: by extension. */
  readonly format?: Format | undefined
  /** How CSV and TSV objects are written; what is not stated is found from each object. */
  readonly csv?: CsvDialect | undefined
  /** Called with each fact that planning reports. Planning continues. */
  readonly onNotice?: ((notice: PlanNotice) => void) | undefined
}

/** A run that was planned but not recorded. */
export interface RunPlan {
  /** 26 characters, `a` to `z` and `2` to `7`; derived from corpus, model and options. */
  readonly run: string
  /** Model, revision, dimensions. */
  readonly model: ModelIdentity
  /** Id and text field; null for a corpus of text and Markdown files. */
  readonly fields: FieldMapping | null
  readonly shards: number
  /** Estimated from a sample. */
  readonly documents: number
  /**
   * Tokens, seconds and dollars, estimated; undefined for a run that was recorded without a quote.
   */
  readonly quote: Quote | undefined
  /**
   * Documents that must be embedded, estimated: those whose vectors the current version does not
   * hold.
   */
  readonly documentsToEmbed: number | undefined
}

/** A run on the queue. */
export interface EnqueuedRun {
  readonly run: string
  readonly shards: number
  /** Shards that the output holds already. */
  readonly shardsDone: number
  /**
   * Jobs that this call added to the queue. A job that was already in the queue is counted too; the
   * queue keeps a single copy.
   */
  readonly enqueued: number
  /** Whether this call recorded the plan; false if it was recorded before. */
  readonly created: boolean
  /** Whether all shards are made and the manifest is written: nothing is enqueued then. */
  readonly finished: boolean
}

export interface WorkerOptions extends CallOptions {
  /** Number of concurrent jobs; default 4. Each holds one shard in memory, 64 MiB at most. */
  readonly concurrency?: number | undefined
  /**
   * Outputs whose jobs the worker takes, each with all outputs below it; default: the client's
   * output.
   */
  readonly outputs?: readonly string[] | undefined
  /**
   * Corpora that the worker reads, each with what lies below it; default: every corpus that a plan
   * names, except a local folder for an output that is not local.
   */
  readonly sources?: readonly string[] | undefined
  /**
   * Vector stores that the worker also loads runs into, as `load` with `redis` asks; see `load` for
   * their URLs. Credentials come from these URLs and from the environment.
   */
  readonly sinks?: readonly string[] | undefined
  /**
   * Whether the worker sweeps its outputs: about every 30 s and whenever its queue is empty, so
   * that runs are finished and published without a producer. Default true.
   */
  readonly sweep?: boolean | undefined
  /** Where the worker declares and counts its metrics. */
  readonly metrics?: Registry | undefined
  /** Called with each failed attempt of a job; `final`: the job will not be tried again. */
  readonly onJobError?: ((error: unknown, job: JobFailure) => void) | undefined
  /**
   * Called when jobs wait and the worker has fetched none for a minute: its connection is dead. End
   * the process and start it again.
   */
  readonly onStuck?: ((waiting: number) => void) | undefined
  /**
   * Called with the cause when the worker has taken no jobs for `giveUpMs` because of a wrong
   * setting of its own, like a refused token. End the process, so that its supervisor reports it.
   * Until then the worker tries one job at intervals, and continues when the cause is corrected.
   */
  readonly onGiveUp?: ((error: ReembedError) => void) | undefined
  /** In milliseconds; without it, the worker never gives up. */
  readonly giveUpMs?: number | undefined
}

/** A worker in this process. When it is disposed, its unfinished jobs are requeued immediately. */
export interface RunningWorker extends AsyncDisposable {
  /** Why it cannot take jobs, for a readiness probe; null if it can. */
  readonly notReadyReason: string | null
  /** The state of the endpoint: `'ok'`, `'overloaded'`, `'idle'`. */
  readonly endpointState: string
  /**
   * Takes no more jobs; those in flight may finish within `graceMs` milliseconds; unfinished jobs
   * are then requeued.
   */
  drain(graceMs: number): Promise<void>
}

export interface WaitOptions extends CallOptions {
  /** Called at once, three times a second at most, and when the last shard is completed. */
  readonly onProgress?: ((progress: FollowProgress) => void) | undefined
}

/** A call that records a decision. */
export interface DecisionOptions extends CallOptions {
  /** The actor that is recorded with the decision: a person, or the name of the program. */
  readonly by?: string | undefined
  /** The reason that is recorded with it. */
  readonly reason?: string | undefined
}

export interface PublishOptions extends DecisionOptions {
  /**
   * Maximum number of rejects with which the run is published, instead of the limit in its plan:
   * `'20'` or `'1%'` of its documents.
   */
  readonly maxRejects?: string | undefined
  /**
   * Share of the text that the model may have left unread, instead of the limit in its plan:
   * `'1%'`.
   */
  readonly maxTruncated?: string | undefined
  /**
   * Publishes a finished run although it is held or superseded; the version records the reasons.
   */
  readonly force?: boolean | undefined
}

export interface ResumeOptions extends DecisionOptions {
  /** Replaces the run's budget; required for a run that has used up its budget. */
  readonly spending?: SpendingOptions | undefined
}

export interface EvaluateOptions extends CallOptions {
  /**
   * Queries with the ids of their relevant documents, or BEIR's files of them: paths or
   * `s3://bucket/key`.
   */
  readonly queries: readonly EvaluationQuery[] | Omit<JudgedQueryFiles, 's3'>
  /** The rank k of recall@k and ndcg@k; default 10. */
  readonly top?: number | undefined
  /** Text in front of each query; default: that of the plan. */
  readonly queryPrompt?: string | undefined
}

export interface LoadOptions
  extends CallOptions,
    Pick<SinkLoadOptions, 'name' | 'concurrency' | 'update' | 'onProgress'> {
  /** A finished run instead of that of the current version. */
  readonly run?: string | undefined
  /** The actor that is recorded with the load. */
  readonly by?: string | undefined
}

export interface SwitchOptions extends DecisionOptions {
  /** The name that searches use; default `embeddings`. */
  readonly name?: string | undefined
  /** Returns to the target that searches used before the current one. */
  readonly back?: boolean | undefined
}

export interface DropOptions extends DecisionOptions {
  /** The name that searches use; default `embeddings`. */
  readonly name?: string | undefined
}

export interface ReadOptions extends CallOptions {
  /** A finished run instead of the current version. */
  readonly run?: string | undefined
  /** Also reads carried columns, chunk columns and texts. */
  readonly extra?: boolean | undefined
}
