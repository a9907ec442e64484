// Exact search over the shards of a run: compares the query with every vector. For inspecting a
// run, not for serving queries.

import { readDocuments } from '@reembed/corpus'
import { type Manifest, type Plan, readSliceSegment } from '@reembed/protocol'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openStore, type S3Options, type Store } from '@reembed/store'

export interface Hit {
  readonly id: string
  /** Cosine of query and document, -1 to 1. */
  readonly score: number
  readonly shard: number
}

export interface NearestOptions {
  readonly signal?: AbortSignal | undefined
  /** Called before each shard, with the number of shards that were compared and of all. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

/**
 * Finds the `top` rows with the highest cosine, best first. Holds one row group at a time.
 * @param query a vector with the dimensions of the run, of any length
 * @throws ReembedError of the store or of a corrupt shard
 * @throws the signal's reason
 */
export async function nearest(
  store: Store,
  { run, shards, model }: Manifest,
  query: Float32Array,
  top: number,
  { signal, onProgress }: NearestOptions = {},
): Promise<Hit[]> {
  const best: Hit[] = []
  const length = Math.hypot(...query)
  const unit = query.map(value => value / length)
  for (let shard = 0; shard < shards; shard += 1) {
    onProgress?.(shard, shards)
    for await (const { ids, vectors } of readShard(store, shardKey(run, shard, shards), { signal })) {
      for (const [row, id] of ids.entries()) {
        const score = likeness(unit, vectors, row * model.dimensions)
        if (best.length === top && score <= (best.at(-1)?.score ?? 0)) continue
        const place = best.findIndex(hit => hit.score < score)
        best.splice(place === -1 ? best.length : place, 0, { id, score, shard })
        best.length = Math.min(best.length, top)
      }
    }
  }
  return best
}

/** Uses an indexed loop: destructuring or for-of takes four times as long here. */
function likeness(unit: Float32Array, vectors: Float32Array, start: number): number {
  let dot = 0
  let norm = 0
  for (let i = 0; i < unit.length; i += 1) {
    const b = vectors[start + i] ?? 0
    dot += (unit[i] ?? 0) * b
    norm += b * b
  }
  return dot / Math.sqrt(norm)
}

/**
 * Reads the texts of hits from the corpus, because shards need not contain text.
 * @returns texts by document id
 * @throws ReembedError SOURCE_CHANGED or SOURCE_NOT_FOUND if the corpus was changed or removed
 */
export async function textsOf(
  hits: readonly Hit[],
  store: Store,
  plan: Plan,
  s3: S3Options,
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const wanted = new Set(hits.map(({ id }) => id))
  const texts = new Map<string, string>()
  await using source = await openStore(plan.source, { s3 })
  for (const shard of new Set(hits.map(hit => hit.shard))) {
    const segment = Math.floor(shard / plan.slicesPerSegment)
    const slice = (await readSliceSegment(store, plan, segment))[shard - segment * plan.slicesPerSegment]
    if (slice === undefined) continue
    const reader = await readDocuments({ source, output: store }, plan, slice)
    for await (const record of reader.records) {
      signal?.throwIfAborted()
      if (record.kind === 'document' && wanted.has(record.id)) texts.set(record.id, record.text)
    }
  }
  return texts
}
