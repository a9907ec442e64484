// Every failure a person can meet is a ReembedError: a code, one sentence that names what, where and what to do,
// and whether trying again can help. The code decides the exit code of the command (DESIGN section 7).

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
  /** Verification failed: the output does not balance, is corrupt, or has duplicate ids. */
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
  // The request itself is wrong: an option, a field, a path.
  | 'USAGE'
  | 'SOURCE_NOT_FOUND'
  | 'SOURCE_EMPTY'
  | 'SOURCE_FORMAT'
  | 'FIELD_NOT_FOUND'
  | 'OUTPUT_INSIDE_SOURCE'
  | 'RUN_NOT_FOUND'
  | 'RUN_STOPPED'
  | 'STORE_UNSAFE'
  // Something outside does not answer, or refuses us.
  | 'REDIS_UNREACHABLE'
  | 'REDIS_MISCONFIGURED'
  | 'STORE_UNREACHABLE'
  | 'STORE_ACCESS_DENIED'
  | 'ENDPOINT_UNREACHABLE'
  | 'ENDPOINT_ACCESS_DENIED'
  | 'ENDPOINT_UNSUPPORTED'
  | 'ENDPOINT_OVERLOADED'
  // The run cannot be what was promised.
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

/** What the command ends with when nobody handles the error. */
const EXIT_OF: Record<ErrorCode, keyof typeof EXIT> = {
  USAGE: 'usage',
  SOURCE_NOT_FOUND: 'usage',
  SOURCE_EMPTY: 'usage',
  SOURCE_FORMAT: 'usage',
  FIELD_NOT_FOUND: 'usage',
  OUTPUT_INSIDE_SOURCE: 'usage',
  RUN_NOT_FOUND: 'usage',
  RUN_STOPPED: 'failure',
  STORE_UNSAFE: 'usage',
  REDIS_UNREACHABLE: 'unreachable',
  REDIS_MISCONFIGURED: 'unreachable',
  STORE_UNREACHABLE: 'unreachable',
  STORE_ACCESS_DENIED: 'unreachable',
  ENDPOINT_UNREACHABLE: 'unreachable',
  ENDPOINT_ACCESS_DENIED: 'unreachable',
  ENDPOINT_UNSUPPORTED: 'unreachable',
  ENDPOINT_OVERLOADED: 'unreachable',
  SOURCE_CHANGED: 'failure',
  SHARD_FAILED: 'failure',
  CORRUPT: 'verification',
  UNBALANCED: 'verification',
  DUPLICATE_ID: 'verification',
  MODEL_MISMATCH: 'wrongModel',
  REPLY_INVALID: 'failure',
  JOB_INVALID: 'failure',
  INTERRUPTED: 'interrupted',
  INTERNAL: 'failure',
}

/** All codes, for those who must name each, like a metric's labels. */
export const ERROR_CODES: readonly string[] = Object.keys(EXIT_OF)

/**
 * Whether trying again can help. `later` is overload, a cold start or an outage: wait and try again without
 * counting it as an attempt of the job. `yes` counts as an attempt. `no` never helps.
 */
export type Retry = 'never' | 'retry' | 'requeue'

export interface ReembedErrorOptions {
  readonly retry?: Retry
  /** With `retry: 'requeue'`: how long to wait at least, where the other side said so. */
  readonly retryAfterMs?: number | undefined
  /** The option of the request that the fix concerns, as a dotted path: 'gates', 'chunking.maxTokens'. */
  readonly option?: string | undefined
  /** The case within the code, for a caller that handles it: 'run_not_finished', 'budget_exceeded'. */
  readonly reason?: string | undefined
  readonly cause?: unknown
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
const CONTROL = /[\u0000-\u001f\u007f-\u009f]+/g

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
    // Keys and servers' words come from outside: an escape sequence in one must not reach a terminal.
    super(message.replace(CONTROL, ' '), cause === undefined ? undefined : { cause })
    this.name = 'ReembedError'
    this.code = code
    this.retry = retry
    this.retryAfterMs = retryAfterMs
    this.option = option
    this.reason = reason
  }

  get exitCode(): number {
    return EXIT[EXIT_OF[this.code]]
  }
}

/** The message of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.replace(/\s+/g, ' ').trim()
}

/** The `code` of a Node or library error ('ENOENT', 'ECONNREFUSED'), if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}
