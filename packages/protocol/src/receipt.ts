// The receipt of a job sits in its shard's own metadata (key `reembed.receipt`), so shard and receipt are one
// object and one atomic write, and `verify` needs the shards alone.

import {
  bool,
  count,
  either,
  format1,
  is,
  list,
  none,
  optional,
  positive,
  record,
  requireShape,
  type Shape,
  text,
} from '@reembed/shared'
import type { PartRead, Position, Reject } from './corpus.ts'

/** What makes vectors comparable, plus what a reader needs to embed a query the same way. */
export interface ModelIdentity {
  /** The model's name as its endpoint states it, for example 'BAAI/bge-base-en-v1.5'. */
  readonly id: string
  /** Exact revision (commit) where the endpoint or the user states one. */
  readonly revision: string | null
  readonly dimensions: number
  readonly pooling: string | null
  readonly normalized: boolean
}

/** A reject as the receipt keeps it. */
export type RejectRow = Omit<Reject, 'kind'>

export interface Receipt {
  readonly format: 1
  readonly run: string
  readonly shard: number
  readonly shards: number
  readonly spaceId: string
  readonly recipeId: string
  readonly model: ModelIdentity
  /** What was read, part by part of the slice. */
  readonly source: readonly PartRead[]
  /** documents = rows + rejects.length, always. */
  readonly documents: number
  readonly rows: number
  readonly rejects: readonly RejectRow[]
  /** Rows that were not embedded: their vectors are of an equal text of the base, or of the same request window. */
  readonly reused?: number | undefined
  /** Tokens counted by the server for what was embedded, or null where it does not say. */
  readonly tokens: number | null
  /** Texts that the endpoint was asked to cut because they were over the model's limit, as far as known. */
  readonly truncated: number
  /** Texts in which lone surrogates were replaced by U+FFFD. */
  readonly repaired: number
  /** When its first request was made and its last one answered, by the worker's clock; absent if none was. */
  readonly startedMs?: number | undefined
  readonly endedMs?: number | undefined
  /** SHA-256 (hex) over all bytes of the file before its footer. */
  readonly bodySha256: string
}

/** The footer key of the receipt. */
export const RECEIPT_KEY = 'reembed.receipt'

/**
 * Takes a receipt that was read from somewhere, `where` as it shall stand in the message.
 * @throws ReembedError CORRUPT naming the first field that is not as it must be.
 */
export function parseReceipt(value: unknown, where: string): Receipt {
  return requireShape(receiptShape, value, `${where}: the receipt is damaged or of another version`)
}

export const modelShape: Shape = record<ModelIdentity>({
  id: text,
  revision: either(text, none),
  dimensions: positive,
  pooling: either(text, none),
  normalized: bool,
})

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
  repaired: count,
  startedMs: optional(count),
  endedMs: optional(count),
  bodySha256: is(value => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)),
})
