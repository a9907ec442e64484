// Helpers of the shard tests: a store in memory that records reads, and rows made from a seed.

import { createHash } from 'node:crypto'
import type { Receipt } from '@reembed/protocol'
import { createShardBuffer, createShardWriter, type ShardRows, type ShardWriter } from '@reembed/shard'
import { ObjectNotFound, type Store } from '@reembed/store'

type ReceiptFacts = Parameters<ShardWriter['finish']>[0]

export interface MemoryStore extends Store {
  readonly objects: Map<string, Uint8Array>
  /** The ranges that were read, in order. */
  readonly reads: { key: string; bytes: number }[]
}

export function memoryStore(objects: Record<string, Uint8Array> = {}): MemoryStore {
  const held = new Map(Object.entries(objects))
  const reads: { key: string; bytes: number }[] = []
  const get: Store['get'] = async (key, { start = 0, end, signal } = {}) => {
    signal?.throwIfAborted()
    const body = held.get(key)
    if (!body) throw new ObjectNotFound(`'${key}'`)
    const bytes = body.slice(start, end)
    reads.push({ key, bytes: bytes.length })
    return bytes
  }
  return {
    url: 'memory',
    objects: held,
    reads,
    get,
    async *list(prefix) {
      for (const [key, { length }] of held) if (key.startsWith(prefix)) yield { key, size: length, etag: '' }
    },
    async head(key) {
      const body = held.get(key)
      return body && { key, size: body.length, etag: '' }
    },
    async *stream(key, options) {
      yield await get(key, options)
    },
    async putIfAbsent(key, body) {
      if (held.has(key)) return 'exists'
      held.set(key, body.slice())
      return 'created'
    },
    async copyIfAbsent(from, to) {
      return this.putIfAbsent(to, await this.get(from))
    },
    async [Symbol.asyncDispose]() {},
  }
}

export interface RowsOptions {
  readonly rows: number
  readonly dimensions: number
  readonly seed?: number
}

/** Rows of unit vectors, some with values that a copy through JavaScript numbers could lose. */
export function makeRows({ rows, dimensions, seed = 1 }: RowsOptions): ShardRows {
  const vectors = new Float32Array(rows * dimensions)
  let state = seed
  for (let i = 0; i < vectors.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    vectors[i] = state / 2 ** 31
  }
  for (let row = 0; row < rows; row++) {
    const vector = vectors.subarray(row * dimensions, (row + 1) * dimensions)
    if (dimensions > 2 && row % 3 === 0) vector.set([-0, 1.401298464324817e-45], row % (dimensions - 1))
    const norm = Math.hypot(...vector)
    for (let i = 0; i < dimensions; i++) vector[i] = (vector[i] ?? 0) / norm
  }
  const ids = Array.from({ length: rows }, (_, row) => `doc-${row}-${['', 'é', '𝒳'][row % 3]}`)
  const hashes = Buffer.concat(ids.map(id => createHash('sha256').update(id).digest().subarray(0, 16)))
  return { ids, hashes, vectors }
}

export const factsOf = (documents: number, dimensions: number): ReceiptFacts => ({
  run: 'abcdefghijklmnopqrstuvwxyz',
  shard: 17,
  shards: 42,
  spaceId: 'space',
  recipeId: 'recipe',
  model: { id: 'BAAI/bge-base-en-v1.5', revision: 'a5beb1e3', dimensions, pooling: 'cls', normalized: true },
  source: [{ key: 'corpus.jsonl', etag: 'e', start: 0, end: 1_000, lines: documents }],
  documents,
  rejects: [],
  tokens: 12_345,
  truncated: 1,
  repaired: 0,
})

export interface WriteOptions extends RowsOptions {
  readonly rowGroupRows?: number | undefined
  /** Rows in each append, as in the replies of an endpoint. */
  readonly batch?: number
  readonly facts?: Partial<ReceiptFacts>
  readonly ids?: readonly string[]
}

export interface WrittenShard extends ShardRows {
  readonly bytes: Uint8Array
  readonly receipt: Receipt
}

/** The bytes of a shard of generated rows. */
export function writeShard({ rowGroupRows, batch = 32, facts, ...options }: WriteOptions): WrittenShard {
  const { rows, dimensions } = options
  const made = { ...makeRows(options), ...(options.ids && { ids: options.ids }) }
  const buffer = createShardBuffer()
  const writer = createShardWriter({ dimensions, rowGroupRows, sink: buffer.sink })
  for (let from = 0; from < rows; from += batch) {
    writer.append({
      ids: made.ids.slice(from, from + batch),
      hashes: made.hashes.subarray(from * 16, (from + batch) * 16),
      vectors: made.vectors.subarray(from * dimensions, (from + batch) * dimensions),
    })
  }
  const { receipt } = writer.finish({
    ...factsOf(rows + (facts?.rejects?.length ?? 0), dimensions),
    ...facts,
  })
  return { ...made, receipt, bytes: buffer.bytes() }
}

/** The bytes of the floats. Equal bytes mean equal values, including -0. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)
