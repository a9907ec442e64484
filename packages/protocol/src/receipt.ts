// The receipt of a job. It is in the metadata of its shard (key `reembed.receipt`), so shard and
// receipt are one atomic write, and `verify` needs only the shards.

import {
  bool,
  count,
  either,
  filledText,
  format1,
  is,
  list,
  mapOf,
  none,
  optional,
  positive,
  ReembedError,
  record,
  requireShape,
  type Shape,
  text,
} from '@reembed/shared'
import type { PartRead, Position, Reject } from './corpus.ts'

/** The properties of a model that decide whether vectors are comparable. */
export interface ModelIdentity {
  /** The model's name as the endpoint reports it, for example 'BAAI/bge-base-en-v1.5'. */
  readonly id: string
  /** Exact revision (commit), if the endpoint or the user states one. */
  readonly revision: string | null
  readonly dimensions: number
  readonly pooling: string | null
  readonly normalized: boolean
}

/**
 * Tokens of texts over the model's limit that the model did not read. `low` and `high` bound the
 * 95 % interval; all three are equal where the tokens were counted.
 */
export interface UnreadTokens {
  readonly tokens: number
  readonly low: number
  readonly high: number
  /** Tokens of all texts, read and not read. */
  readonly of: number
}

/** The sum of two parts. */
export const addUnread = (a: UnreadTokens, b: UnreadTokens): UnreadTokens => ({
  tokens: a.tokens + b.tokens,
  low: a.low + b.low,
  high: a.high + b.high,
  of: a.of + b.of,
})

/** The share of the text that the model did not read, 0 to 1. */
export const unreadShare = ({ tokens, of }: UnreadTokens): number => (of === 0 ? 0 : tokens / of)

/** A reject in a receipt. */
export type RejectRow = Omit<Reject, 'kind'>

/** The account of one shard. */
export interface Receipt {
  readonly format: 1
  readonly run: string
  readonly shard: number
  readonly shards: number
  readonly spaceId: string
  readonly recipeId: string
  readonly model: ModelIdentity
  /** The ranges that were read, one per part of the slice. */
  readonly source: readonly PartRead[]
  /** Invariant: documents = rows + rejects.length. */
  readonly documents: number
  readonly rows: number
  readonly rejects: readonly RejectRow[]
  /**
   * Rows that were not embedded: their vectors come from an equal text of the base run or of the
   * same request window.
   */
  readonly reused?: number | undefined
  /** Tokens that the server counted; null if it reports none. */
  readonly tokens: number | null
  /** Documents, or chunks, that the model read only up to its limit. */
  readonly truncated: number
  /** Undefined if the limit of the model is unknown. */
  readonly unread?: UnreadTokens | undefined
  /** Documents before they were cut into chunks; only for a run with chunks. */
  readonly sourceDocuments?: number | undefined
  /** Number of texts in which U+FFFD replaced lone surrogates. */
  readonly repaired: number
  /** Values of carried columns that became null because the column cannot hold them, by column. */
  readonly nulled?: Readonly<Record<string, number>> | undefined
  /**
   * Start of the first request and end of the last one in Unix milliseconds of the worker;
   * undefined without requests.
   */
  readonly startedMs?: number | undefined
  readonly endedMs?: number | undefined
  /** SHA-256 (hex) of the bytes of the file before the footer. */
  readonly bodySha256: string
}

/** The key of the receipt in the Parquet footer. */
export const RECEIPT_KEY = 'reembed.receipt'

/**
 * Validates a receipt. `where` names its shard in the error message.
 * @throws ReembedError CORRUPT that names the first invalid field
 */
export function parseReceipt(value: unknown, where: string): Receipt {
  return requireShape(
    receiptShape,
    value,
    `${where}: the receipt is damaged or was written by another version of reembed`,
  )
}

/**
 * Refuses a receipt that `parseReceipt` would refuse: a shard cannot be replaced once it is put.
 * @throws ReembedError INTERNAL that names the first invalid field
 */
export function assertReceiptReadable(receipt: Receipt): void {
  const wrong = receiptShape(receipt, '')
  if (wrong === undefined) return
  throw new ReembedError(
    'INTERNAL',
    `shard ${receipt.shard} of run ${receipt.run} was not written: ${wrong} of its receipt is invalid. Report this: it is a fault of reembed`,
  )
}

export const modelShape: Shape = record<ModelIdentity>({
  id: filledText,
  revision: either(text, none),
  dimensions: positive,
  pooling: either(text, none),
  normalized: bool,
})

export const unreadShape: Shape = record<UnreadTokens>({ tokens: count, low: count, high: count, of: count })

const receiptShape = record<Receipt>({
  format: format1,
  run: text,
  shard: count,
  shards: count,
  spaceId: text,
  recipeId: text,
  model: modelShape,
  source: list(record<PartRead>({ key: text, etag: text, start: count, end: count, lines: count })),
  documents: count,
  rows: count,
  rejects: list(
    record<RejectRow>({
      id: optional(text),
      reason: text,
      message: text,
      position: record<Position>({ part: count, offset: count, line: optional(count) }),
    }),
  ),
  reused: optional(count),
  tokens: either(count, none),
  truncated: count,
  unread: optional(unreadShape),
  sourceDocuments: optional(count),
  repaired: count,
  nulled: optional(mapOf(count)),
  startedMs: optional(count),
  endedMs: optional(count),
  bodySha256: is(value => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)),
})
