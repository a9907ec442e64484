// The receipt of a job sits in its shard's own metadata (key `reembed.receipt`), so shard and receipt are one
// object and one atomic write, and `verify` needs the shards alone.

import type { PartRead, Reject } from './corpus.ts'

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
  /** Tokens counted by the server, or null where it does not say. */
  readonly tokens: number | null
  /** Texts that the endpoint was asked to cut because they were over the model's limit, as far as known. */
  readonly truncated: number
  /** Texts in which lone surrogates were replaced by U+FFFD. */
  readonly repaired: number
  /** SHA-256 (hex) over all bytes of the file before its footer. */
  readonly bodySha256: string
}

/** The footer key of the receipt. */
export const RECEIPT_KEY = 'reembed.receipt'
