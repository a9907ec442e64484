// The manifest of a finished run. It is written only after every shard exists and the receipts
// balance.

import {
  count,
  either,
  format1,
  manifestKey,
  manifestSegmentKey,
  mapOf,
  none,
  object,
  optional,
  positive,
  ReembedError,
  record,
  requireShape,
  text,
} from '@reembed/shared'
import { getJson, type Store } from '@reembed/store'
import type { FieldMapping, RejectReason } from './corpus.ts'
import type { Dtype, ShardLayout } from './layout.ts'
import { layoutShape } from './plan.ts'
import type { ActualCost, Quote } from './quote.ts'
import { type ModelIdentity, modelShape } from './receipt.ts'
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
  readonly truncated: number
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
}

/**
 * Reads the manifest of a run; undefined if it is not finished.
 * @throws ReembedError CORRUPT if the object is not a valid manifest of this run
 */
export async function readManifest(store: Store, run: string): Promise<Manifest | undefined> {
  const found = await getJson(store, manifestKey(run))
  if (found === undefined) return undefined
  const what = `${manifestKey(run)} in ${store.url} is not a manifest that this version of reembed can read`
  const manifest = requireShape<Manifest>(manifestShape, found, what)
  if (manifest.run !== run) throw new ReembedError('CORRUPT', `${what}: it belongs to run ${manifest.run}`)
  return manifest
}

const manifestShape = record<Manifest>({
  format: format1,
  run: text,
  seq: count,
  spaceId: text,
  recipeId: text,
  source: text,
  model: modelShape,
  prompt: text,
  queryPrompt: optional(text),
  fields: either(none, object),
  dtype: optional(text),
  nativeDimensions: optional(positive),
  layout: optional(layoutShape),
  baseRun: optional(object),
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
    repaired: count,
    nulled: optional(mapOf(count)),
  }),
  rejectReasons: object,
  quote: optional(object),
  actualCost: optional(object),
  shardsSha256: text,
})

const rowShape = record<ManifestShard>({
  key: text,
  bytes: count,
  rows: count,
  rejects: count,
  tokens: either(count, none),
  bodySha256: text,
})

/** Yields the shards of a finished run in order. Memory holds one segment. */
export async function* readManifestShards(
  store: Store,
  manifest: Manifest,
): AsyncGenerator<ManifestShard, void, undefined> {
  for (let segment = 0; segment * manifest.shardsPerSegment < manifest.shards; segment += 1) {
    yield* await readSegment<ManifestShard>(store, manifestSegmentKey(manifest.run, segment), rowShape, {
      segment,
      size: manifest.shardsPerSegment,
      total: manifest.shards,
      rowNoun: 'shards',
      owner: 'manifest',
    })
  }
}
