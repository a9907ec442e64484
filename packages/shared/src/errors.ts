// Every failure a person can meet is a ReembedError: a code, one sentence that names what, where and what to do,
// and whether trying again can help. The code decides the exit code of the command (DESIGN section 7).

/** Exit codes of the `reembed` command. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  rejects: 3,
  gate: 4,
  unreachable: 5,
  space: 6,
  interrupted: 130,
} as const

/** What went wrong, and the exit code that the command ends with when nobody handles it. */
const CODES = {
  // The request itself is wrong: an option, a field, a path.
  USAGE: EXIT.usage,
  SOURCE_MISSING: EXIT.usage,
  SOURCE_EMPTY: EXIT.usage,
  SOURCE_FORMAT: EXIT.usage,
  FIELD_MISSING: EXIT.usage,
  OUTPUT_INSIDE_SOURCE: EXIT.usage,
  RUN_UNKNOWN: EXIT.usage,
  STORE_UNSAFE: EXIT.usage,
  // Something outside does not answer, or refuses us.
  REDIS_UNREACHABLE: EXIT.unreachable,
  REDIS_UNFIT: EXIT.unreachable,
  STORE_UNREACHABLE: EXIT.unreachable,
  STORE_DENIED: EXIT.unreachable,
  ENDPOINT_UNREACHABLE: EXIT.unreachable,
  ENDPOINT_DENIED: EXIT.unreachable,
  ENDPOINT_UNFIT: EXIT.unreachable,
  ENDPOINT_OVERLOADED: EXIT.unreachable,
  // The run cannot be what was promised.
  SOURCE_CHANGED: EXIT.failure,
  SHARD_FAILED: EXIT.failure,
  CORRUPT: EXIT.gate,
  UNBALANCED: EXIT.gate,
  DUPLICATE_ID: EXIT.gate,
  REJECTS: EXIT.rejects,
  MODEL_MISMATCH: EXIT.space,
  REPLY_INVALID: EXIT.failure,
  JOB_INVALID: EXIT.failure,
  INTERRUPTED: EXIT.interrupted,
  INTERNAL: EXIT.failure,
} as const

export type ErrorCode = keyof typeof CODES

/**
 * Whether trying again can help. `later` is overload, a cold start or an outage: wait and try again without
 * counting it as an attempt of the job. `yes` counts as an attempt. `no` never helps.
 */
export type Retry = 'no' | 'yes' | 'later'

export interface ReembedErrorOptions {
  readonly retry?: Retry
  /** With `retry: 'later'`: how long to wait at least, where the other side said so. */
  readonly afterMs?: number | undefined
  readonly cause?: unknown
}

export class ReembedError extends Error {
  readonly code: ErrorCode
  readonly retry: Retry
  readonly afterMs: number | undefined

  constructor(code: ErrorCode, message: string, { retry = 'no', afterMs, cause }: ReembedErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'ReembedError'
    this.code = code
    this.retry = retry
    this.afterMs = afterMs
  }

  get exitCode(): number {
    return CODES[this.code]
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
