// The error type of all packages. An error has a code, a message of one sentence that states what
// failed, where, and how to fix it, and a retry class. The code determines the exit code of the
// command.

/** Exit codes of the `reembed` command. */
export const EXIT = {
  /** The command did what was asked. */
  ok: 0,
  /** The command failed for a reason that has no exit code of its own. */
  failure: 1,
  /** The command line or the configuration is wrong. */
  usage: 2,
  /** The run is finished but not published: rejects, gates, or superseded. The user must decide. */
  notPublished: 3,
  /**
   * Verification failed: the shards do not contain each planned document exactly once, are corrupt,
   * or have duplicate ids.
   */
  verification: 4,
  /** A dependency is unreachable: Redis, the object store or the endpoint. */
  unreachable: 5,
  /** The endpoint serves another model than the run requires. */
  wrongModel: 6,
  /** A signal interrupted the command. */
  interrupted: 130,
} as const

/** What went wrong. */
export type ErrorCode =
  // The request is wrong: an option, a field, a path.
  | 'USAGE'
  | 'SOURCE_NOT_FOUND'
  | 'SOURCE_EMPTY'
  | 'SOURCE_FORMAT'
  | 'FIELD_NOT_FOUND'
  | 'OUTPUT_INSIDE_SOURCE'
  | 'RUN_NOT_FOUND'
  | 'RUN_STOPPED'
  | 'STORE_UNSAFE'
  // A dependency does not answer, or refuses the request.
  | 'REDIS_UNREACHABLE'
  | 'REDIS_MISCONFIGURED'
  | 'STORE_UNREACHABLE'
  | 'STORE_ACCESS_DENIED'
  | 'ENDPOINT_UNREACHABLE'
  | 'ENDPOINT_ACCESS_DENIED'
  | 'ENDPOINT_UNSUPPORTED'
  | 'ENDPOINT_OVERLOADED'
  // The run cannot be completed as planned.
  | 'SOURCE_CHANGED'
  | 'SHARD_FAILED'
  | 'CORRUPT'
  | 'UNBALANCED'
  | 'DUPLICATE_ID'
  | 'MODEL_MISMATCH'
  | 'REPLY_INVALID'
  | 'JOB_INVALID'
  | 'INTERRUPTED'
  | 'INTERNAL'

/**
 * What is at fault when the attempt of a job fails.
 *
 * - `job`: its shard cannot be made, or the cause is unknown.
 * - `run`: no worker can complete the run as it was planned.
 * - `worker`: its configuration, its rights or the model that it is connected to. Another worker
 *   may succeed with the same job.
 * - `dependency`: Redis, the store or the endpoint is overloaded or does not answer now.
 */
export type Fault = 'job' | 'run' | 'worker' | 'dependency'

/** The exit code of the command for an error that reaches it, and what is at fault in a worker. */
const CODES: Record<ErrorCode, readonly [exit: keyof typeof EXIT, fault: Fault]> = {
  USAGE: ['usage', 'worker'],
  SOURCE_NOT_FOUND: ['usage', 'worker'],
  SOURCE_EMPTY: ['usage', 'run'],
  SOURCE_FORMAT: ['usage', 'run'],
  FIELD_NOT_FOUND: ['usage', 'run'],
  OUTPUT_INSIDE_SOURCE: ['usage', 'run'],
  RUN_NOT_FOUND: ['usage', 'run'],
  RUN_STOPPED: ['failure', 'run'],
  STORE_UNSAFE: ['usage', 'worker'],
  REDIS_UNREACHABLE: ['unreachable', 'dependency'],
  REDIS_MISCONFIGURED: ['unreachable', 'worker'],
  STORE_UNREACHABLE: ['unreachable', 'dependency'],
  STORE_ACCESS_DENIED: ['unreachable', 'worker'],
  ENDPOINT_UNREACHABLE: ['unreachable', 'dependency'],
  ENDPOINT_ACCESS_DENIED: ['unreachable', 'worker'],
  ENDPOINT_UNSUPPORTED: ['unreachable', 'worker'],
  ENDPOINT_OVERLOADED: ['unreachable', 'dependency'],
  SOURCE_CHANGED: ['failure', 'run'],
  SHARD_FAILED: ['failure', 'job'],
  CORRUPT: ['verification', 'job'],
  UNBALANCED: ['verification', 'run'],
  DUPLICATE_ID: ['verification', 'run'],
  MODEL_MISMATCH: ['wrongModel', 'worker'],
  REPLY_INVALID: ['failure', 'job'],
  JOB_INVALID: ['failure', 'job'],
  INTERRUPTED: ['interrupted', 'dependency'],
  INTERNAL: ['failure', 'job'],
}

/** All error codes, for example as the values of a metric label. */
export const ERROR_CODES: readonly string[] = Object.keys(CODES)

/**
 * Whether another attempt can succeed.
 *
 * - `requeue`: a transient condition (overload, cold start, outage). Wait, then try again; the job
 *   does not lose an attempt.
 * - `retry`: try again; the job loses one of its attempts.
 * - `never`: another attempt fails in the same way.
 */
export type Retry = 'never' | 'retry' | 'requeue'

export interface ReembedErrorOptions {
  readonly retry?: Retry
  /** With `retry: 'requeue'`: the minimum wait in milliseconds that the server requested. */
  readonly retryAfterMs?: number | undefined
  /**
   * The option of the request that the fix concerns, as a dotted path: 'gates',
   * 'chunking.maxTokens'.
   */
  readonly option?: string | undefined
  /**
   * The case within the code, for a caller that handles it: 'run_not_finished', 'budget_exceeded'.
   */
  readonly reason?: string | undefined
  readonly cause?: unknown
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the expression removes control characters
const CONTROL = /[\u0000-\u001f\u007f-\u009f]+/g

/** A failure with a code, see `ErrorCode`, and a retry class, see `Retry`. */
export class ReembedError extends Error {
  readonly code: ErrorCode
  readonly retry: Retry
  readonly retryAfterMs: number | undefined
  readonly option: string | undefined
  readonly reason: string | undefined

  constructor(
    code: ErrorCode,
    message: string,
    { retry = 'never', retryAfterMs, option, reason, cause }: ReembedErrorOptions = {},
  ) {
    // Keys and server replies are untrusted: an escape sequence in them must not reach a terminal.
    super(message.replace(CONTROL, ' '), cause === undefined ? undefined : { cause })
    this.name = 'ReembedError'
    this.code = code
    this.retry = retry
    this.retryAfterMs = retryAfterMs
    this.option = option
    this.reason = reason
  }

  get exitCode(): number {
    return EXIT[CODES[this.code][0]]
  }
}

/**
 * Returns what is at fault for a failed attempt. A dependency that answers in a way that does not
 * pass by itself, like an S3 address with another certificate, is a wrong setting of the worker.
 */
export function faultOf(error: unknown): Fault {
  if (!(error instanceof ReembedError)) return 'job'
  const [, fault] = CODES[error.code]
  return fault === 'dependency' && error.retry === 'never' ? 'worker' : fault
}

/** Returns the message of any thrown value, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.replace(/\s+/g, ' ').trim()
}

const OPEN_FILES: Readonly<Record<string, string>> = {
  EMFILE: 'this process may not open more files or connections (EMFILE): raise its limit (ulimit -n)',
  ENFILE: 'this machine may not open more files or connections (ENFILE): raise its limit (fs.file-max)',
}

/**
 * Returns the reason and the fix where a file or a connection was not opened because too many are
 * open; undefined for other errors. The dependency is not at fault then.
 */
export function openFilesReason(error: unknown): string | undefined {
  const reason = OPEN_FILES[codeOf(error) ?? '']
  const cause = error instanceof Error ? error.cause : undefined
  return reason ?? (cause === undefined ? undefined : openFilesReason(cause))
}

/** Returns the `code` of a Node or library error, for example 'ENOENT', or undefined. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}
