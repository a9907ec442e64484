// The manifest of a finished run. It is written only after every shard exists and the receipts
// balance.

import {
  count,
  either,
  filledText,
  format1,
  list,
  manifestKey,
  manifestSegmentKey,
  mapConcurrent,
  mapOf,
  none,
  oneOf,
  optional,
  positive,
  record,
  text,
} from '@reembed/shared'
import { objectKind, rowsKind, type Store } from '@reembed/store'
import type { FieldMapping, RejectReason } from './corpus.ts'
import { DTYPES, type Dtype, type ShardLayout } from './layout.ts'
import { fieldsShape, layoutShape } from './plan.ts'
import { type ActualCost, actualCostShape, type Quote, quoteShape } from './quote.ts'
import { type ModelIdentity, modelShape, type UnreadTokens, unreadShape } from './receipt.ts'
import { readSegment } from './segment.ts'

export interface Totals {
  readonly documents: number
  readonly rows: number
  readonly rejects: number
  /** Rows that were not embedded, see Receipt. Undefined means 0. */
  readonly reused?: number | undefined
  /** Tokens that the server counted; null if a receipt has no count. */
  readonly tokens: number | null
  readonly bytes: number
  /** Documents, or chunks, that the model read only up to its limit. */
  readonly truncated: number
  /** Undefined if a receipt does not state it. */
  readonly unread?: UnreadTokens | undefined
  /** Documents before they were cut into chunks; only for a run with chunks. */
  readonly sourceDocuments?: number | undefined
  readonly repaired: number
  /** See Receipt. Undefined means none. */
  readonly nulled?: Readonly<Record<string, number>> | undefined
}

export interface Manifest {
  readonly format: 1
  readonly run: string
  readonly seq: number
  readonly spaceId: string
  readonly recipeId: string
  readonly source: string
  readonly model: ModelIdentity
  /** Prefix of documents. */
  readonly prompt: string
  /** Prefix of queries, if the plan has one. */
  readonly queryPrompt?: string | undefined
  readonly fields: FieldMapping | null
  /** See Recipe. Undefined means float32, without truncated dimensions. */
  readonly dtype?: Dtype | undefined
  readonly nativeDimensions?: number | undefined
  /** See Plan. */
  readonly layout?: ShardLayout | undefined
  /**
   * The run that vectors were reused from, and the number of its rows that this run lacks; null if
   * it is unreadable.
   */
  readonly baseRun?: { readonly run: string; readonly removedRows: number | null } | undefined
  /** See Plan. */
  readonly unfinishedBaseRuns?: readonly string[] | undefined
  readonly shards: number
  readonly shardsPerSegment: number
  readonly totals: Totals
  readonly rejectReasons: Readonly<Partial<Record<RejectReason, number>>>
  /** The estimate of the plan, if any, and the actual cost. */
  readonly quote?: Quote | undefined
  readonly actualCost?: ActualCost | undefined
  /** SHA-256 over key and body hash of every shard in order: it pins every byte of the run. */
  readonly shardsSha256: string
}

/** One row of a manifest segment. */
export interface ManifestShard {
  readonly key: string
  readonly bytes: number
  readonly rows: number
  readonly rejects: number
  readonly tokens: number | null
  readonly bodySha256: string
  /** The run that made the shard, if it was carried over from there. */
  readonly carriedFrom?: string | undefined
}

/**
 * Reads the manifest of a run; undefined if it is not finished.
 * @throws ReembedError CORRUPT if the object is not a valid manifest of this run
 */
export const readManifest = (store: Store, run: string): Promise<Manifest | undefined> =>
  manifests.read(store, manifestKey(run))

/** Writes the manifest of a run, put-if-absent. Its segments must exist before. */
export const putManifest = (store: Store, manifest: Manifest): Promise<'created' | 'exists'> =>
  manifests.put(store, manifestKey(manifest.run), manifest)

/** Writes one segment of the shards of a manifest, put-if-absent. */
export const putManifestSegment = (
  store: Store,
  run: string,
  segment: number,
  rows: readonly ManifestShard[],
): Promise<'created' | 'exists'> => shardRows.put(store, manifestSegmentKey(run, segment), rows)

const manifestShape = record<Manifest>({
  format: format1,
  run: filledText,
  seq: count,
  spaceId: filledText,
  recipeId: filledText,
  source: filledText,
  model: modelShape,
  prompt: text,
  queryPrompt: optional(text),
  fields: either(none, fieldsShape),
  dtype: optional(oneOf(DTYPES)),
  nativeDimensions: optional(positive),
  layout: optional(layoutShape),
  baseRun: optional(
    record<NonNullable<Manifest['baseRun']>>({ run: filledText, removedRows: either(count, none) }),
  ),
  unfinishedBaseRuns: optional(list(filledText)),
  shards: count,
  shardsPerSegment: positive,
  totals: record<Totals>({
    documents: count,
    rows: count,
    rejects: count,
    reused: optional(count),
    tokens: either(count, none),
    bytes: count,
    truncated: count,
    unread: optional(unreadShape),
    sourceDocuments: optional(count),
    repaired: count,
    nulled: optional(mapOf(count)),
  }),
  rejectReasons: mapOf(count),
  quote: optional(quoteShape),
  actualCost: optional(actualCostShape),
  shardsSha256: text,
})

const manifests = objectKind<Manifest>({
  noun: 'a manifest that this version of reembed can read',
  shape: manifestShape,
  check: ({ run }, key) => (manifestKey(run) === key ? undefined : `it belongs to run ${run}`),
})

const shardRows = rowsKind<ManifestShard>({
  noun: 'a list of shards that reembed wrote',
  shape: list(
    record<ManifestShard>({
      key: filledText,
      bytes: count,
      rows: count,
      rejects: count,
      tokens: either(count, none),
      bodySha256: filledText,
      carriedFrom: optional(filledText),
    }),
  ),
})

/** A bucket answers a request in tens of milliseconds, and 100,000 shards have 98 segments. */
const SEGMENTS_AT_ONCE = 8

/** Yields the shards of a finished run in order. Memory holds one segment. */
export async function* readManifestShards(
  store: Store,
  manifest: Manifest,
): AsyncGenerator<ManifestShard, void, undefined> {
  const { run, shards: total, shardsPerSegment: size } = manifest
  const segments = Array.from({ length: Math.ceil(total / size) }, (_, segment) => segment)
  const read = (segment: number): Promise<ManifestShard[]> =>
    readSegment(store, manifestSegmentKey(run, segment), shardRows, {
      segment,
      size,
      total,
      rowNoun: 'shards',
      owner: 'manifest',
    })
  for await (const rows of mapConcurrent(segments, read, { concurrency: SEGMENTS_AT_ONCE })) yield* rows
}
