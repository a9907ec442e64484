// The manifest: what a run holds. Written when every shard is there and the receipts balance, never before.

import {
  count,
  either,
  format1,
  manifestKey,
  manifestSegmentKey,
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
  /** Rows that were not embedded, see Receipt. Manifests of before there was reuse do not say: then it is none. */
  readonly reused?: number | undefined
  /** Tokens counted by the server, null where one shard does not know. */
  readonly tokens: number | null
  readonly bytes: number
  readonly truncated: number
  readonly repaired: number
}

export interface Manifest {
  readonly format: 1
  readonly run: string
  readonly seq: number
  readonly spaceId: string
  readonly recipeId: string
  readonly source: string
  readonly model: ModelIdentity
  /** What documents were prefixed with. */
  readonly prompt: string
  /** What queries are prefixed with, where the plan was told. */
  readonly queryPrompt?: string | undefined
  readonly fields: FieldMapping | null
  /** See Recipe. Manifests of before there was a choice do not say: then it is float32, uncut. */
  readonly dtype?: Dtype | undefined
  readonly nativeDimensions?: number | undefined
  /** See Plan. */
  readonly layout?: ShardLayout | undefined
  /** The run that vectors were taken from, and how many of its rows are gone; null if it can't be read any more. */
  readonly baseRun?: { readonly run: string; readonly removedRows: number | null } | undefined
  readonly shards: number
  readonly shardsPerSegment: number
  readonly totals: Totals
  readonly rejectReasons: Readonly<Partial<Record<RejectReason, number>>>
  /** What it was said to take, if anything was said, and what it took. */
  readonly quote?: Quote | undefined
  readonly actualCost?: ActualCost | undefined
  /** Over key and hash of every shard, in order: one number that pins each byte. Earlier, over the hashes of their bodies. */
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

export async function readManifest(store: Store, run: string): Promise<Manifest | undefined> {
  const found = await getJson(store, manifestKey(run))
  if (found === undefined) return undefined
  const what = `${manifestKey(run)} in ${store.url} is not a manifest that this version of reembed can read`
  const manifest = requireShape<Manifest>(manifestShape, found, what)
  if (manifest.run !== run) throw new ReembedError('CORRUPT', `${what}: it is of run ${manifest.run}`)
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

/** Every shard of a finished run in order, holding one segment at a time. */
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
