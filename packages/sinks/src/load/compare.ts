// Compares a sample of a target with the run: rows of shards spread evenly over the run are read
// from the output, and their vectors by id from the vector store.

import { shardsOf } from '@reembed/export'
import { type LoadProof, type Manifest, readLoadedShards } from '@reembed/protocol'
import { readShard, type ShardBatch } from '@reembed/shard'
import { cosine, ReembedError, withRetries } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { VectorStore } from './vector-store.ts'

const SAMPLED_SHARDS = 16
const ROWS_PER_SHARD = 64
/** A store that quantizes to half precision or normalizes keeps the direction within this. */
const MIN_COSINE = 0.999

/**
 * Compares up to 1,024 rows and returns their number.
 * @throws ReembedError UNBALANCED that names the first row that is missing or differs
 */
export async function compareSample(
  source: Store,
  manifest: Manifest,
  vectors: VectorStore,
  {
    target,
    load,
    signal,
  }: { readonly target: string; readonly load: string; readonly signal?: AbortSignal | undefined },
): Promise<number> {
  const step = Math.max(1, Math.ceil(manifest.shards / SAMPLED_SHARDS))
  const refused = new Set<string>()
  for await (const loaded of readLoadedShards(source, manifest, load))
    if (loaded.shard % step === 0) for (const { id } of loaded.refused) refused.add(id)
  let compared = 0
  for await (const { shard, key } of shardsOf(source, manifest)) {
    if (shard % step !== 0) continue
    const sample = await sampleOf(source, key, refused, signal)
    if (sample.size === 0) continue
    compared += await compareRows(sample, vectors, { target, manifest, place: key, signal })
  }
  return compared
}

/**
 * Compares rows with those of a target and returns their number.
 * @throws ReembedError UNBALANCED that names the first row that is missing or differs
 */
export async function compareRows(
  sample: ReadonlyMap<string, Float32Array>,
  vectors: VectorStore,
  {
    target,
    manifest,
    place,
    signal,
  }: {
    readonly target: string
    readonly manifest: Manifest
    /** Where the rows were read. */
    readonly place: string
    readonly signal: AbortSignal | undefined
  },
): Promise<number> {
  const found = await withRetries(() => vectors.read(target, [...sample.keys()]), { signal })
  for (const [id, written] of sample) {
    const wrong = differenceOf(written, found.get(id), vectors.compared(manifest))
    if (wrong !== undefined) {
      throw new ReembedError(
        'UNBALANCED',
        `document ${JSON.stringify(id)} of ${place} ${wrong} in ${target} at ${vectors.address}: another program changed it; drop the target and load again`,
      )
    }
  }
  return sample.size
}

/** Rows of the first row group of a shard, spread evenly. */
async function sampleOf(
  source: Store,
  key: string,
  refused: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<Map<string, Float32Array>> {
  for await (const batch of readShard(source, key, { signal })) return sampleOfBatch(batch, refused)
  return new Map()
}

/** At most 64 rows of a batch, spread evenly. */
export function sampleOfBatch(
  { ids, vectors }: Pick<ShardBatch, 'ids' | 'vectors'>,
  refused: ReadonlySet<string>,
): Map<string, Float32Array> {
  const sample = new Map<string, Float32Array>()
  const dimensions = vectors.length / ids.length
  const every = Math.max(1, Math.floor(ids.length / ROWS_PER_SHARD))
  for (const [row, id] of ids.entries()) {
    if (row % every === 0 && sample.size < ROWS_PER_SHARD && !refused.has(id))
      sample.set(id, vectors.slice(row * dimensions, (row + 1) * dimensions))
  }
  return sample
}

function differenceOf(
  written: Float32Array,
  found: Float32Array | undefined,
  compared: LoadProof['compared'],
): string | undefined {
  if (found === undefined) return 'is missing'
  if (found.length !== written.length) return `has ${found.length} dimensions instead of ${written.length}`
  if (compared === 'cosine') {
    const similarity = cosine(written, found)
    return similarity >= MIN_COSINE ? undefined : `has another vector (cosine ${similarity.toFixed(4)})`
  }
  const bits = (vector: Float32Array): Buffer =>
    Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)
  return bits(written).equals(bits(found)) ? undefined : 'has another vector'
}
