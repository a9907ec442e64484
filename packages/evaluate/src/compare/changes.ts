// The rows in which a run differs from an earlier one: what a store that holds the earlier run must
// upsert and delete. Shards with equal bodies are not read: a run that changed a few files differs
// in a few shards.

import { type Manifest, type ManifestShard, readManifestShards } from '@reembed/protocol'
import { readIds, readShard, type ShardBatch } from '@reembed/shard'
import { canonical, hashOfId } from '@reembed/shared'
import type { Store } from '@reembed/store'

export type RowChange = 'added' | 'changed' | 'removed'

export interface ChangesOptions {
  readonly signal?: AbortSignal | undefined
  /** Called before each shard that is read, with their number and that of all reads. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

export interface Changes {
  readonly added: number
  /** Rows of an id that both runs have, with another text, vector or carried value. */
  readonly changed: number
  readonly removed: number
  /**
   * For each shard of the later run: a byte for each row, 0 for an equal one; undefined for a shard
   * whose rows are all equal.
   */
  readonly marks: readonly (Uint8Array | undefined)[]
  /** Every changed row: additions and changes in the order of shards, then removals. */
  rows(): AsyncGenerator<{ readonly change: RowChange; readonly id: string }, void, undefined>
}

const [EQUAL, ADDED, CHANGED] = [0, 1, 2]

/**
 * Compares the rows of two runs. Reads the shards whose bodies differ, once for the comparison, and
 * their ids again for `rows`. Holds 16 bytes for each row of those shards of the earlier run, and 9
 * of the later run.
 * @throws ReembedError of the store or of a corrupt shard
 * @throws the reason of `signal`
 */
export async function findChanges(
  store: Store,
  before: Manifest,
  after: Manifest,
  { signal, onProgress }: ChangesOptions = {},
): Promise<Changes> {
  const [old, now] = [await shardsOf(store, before), await shardsOf(store, after)]
  const [kept, known] = [new Set(now.map(bodyOf)), new Set(old.map(bodyOf))]
  const dropped = old.filter(shard => !kept.has(bodyOf(shard)))
  let done = 0
  const total = dropped.length + now.filter(shard => !known.has(bodyOf(shard))).length
  const batches = (key: string): AsyncIterable<ShardBatch> => {
    onProgress?.(done++, total)
    return readShard(store, key, { extra: true, signal })
  }

  const earlier = createRows(dropped)
  for (const { key } of dropped)
    for await (const batch of batches(key)) earlier.add(batch, signaturesOf(batch, before))
  earlier.sort()

  const marks: (Uint8Array | undefined)[] = []
  const present = new BigUint64Array(now.reduce((sum, { rows }) => sum + rows, 0))
  let [added, changed, found] = [0, 0, 0]
  for (const shard of now) {
    if (known.has(bodyOf(shard))) {
      marks.push(undefined)
      continue
    }
    const mark = new Uint8Array(shard.rows)
    let row = 0
    for await (const batch of batches(shard.key)) {
      for (const [i, signature] of signaturesOf(batch, after).entries()) {
        const id = hashOfId(batch.ids[i] ?? '')
        present[found++] = id
        mark[row] = !has(earlier.ids, id) ? ADDED : has(earlier.signatures, signature) ? EQUAL : CHANGED
        if (mark[row] === ADDED) added += 1
        if (mark[row] === CHANGED) changed += 1
        row += 1
      }
    }
    marks.push(mark)
  }
  const ids = present.subarray(0, found).sort()
  const removed = earlier.ids.reduce((sum, id) => sum + (has(ids, id) ? 0 : 1), 0)

  async function* rows(): ReturnType<Changes['rows']> {
    for (const [i, mark] of marks.entries()) {
      const { key } = now[i] ?? {}
      if (mark === undefined || key === undefined) continue
      for (const [row, id] of (await readIds(store, key, { signal })).entries())
        if (mark[row] !== EQUAL) yield { change: mark[row] === ADDED ? 'added' : 'changed', id }
    }
    for (const { key } of dropped)
      for (const id of await readIds(store, key, { signal }))
        if (!has(ids, hashOfId(id))) yield { change: 'removed', id }
  }
  return { added, changed, removed, marks, rows }
}

const shardsOf = (store: Store, manifest: Manifest): Promise<ManifestShard[]> =>
  Array.fromAsync(readManifestShards(store, manifest))

const bodyOf = ({ bodySha256 }: ManifestShard): string => bodySha256

/** Hashes of the ids and of the signatures of rows, each sorted for a binary search. */
function createRows(shards: readonly ManifestShard[]) {
  const count = shards.reduce((sum, { rows }) => sum + rows, 0)
  const [ids, signatures] = [new BigUint64Array(count), new BigUint64Array(count)]
  let used = 0
  return {
    ids,
    signatures,
    add(batch: ShardBatch, own: readonly bigint[]): void {
      for (const [i, signature] of own.entries()) {
        ids[used] = hashOfId(batch.ids[i] ?? '')
        signatures[used] = signature
        used += 1
      }
    },
    sort(): void {
      ids.sort()
      signatures.sort()
    },
  }
}

/** Equal where id, text, carried values and what a vector depends on are equal. */
function signaturesOf(
  { ids, hashes, extra }: ShardBatch,
  { spaceId, prompt, dtype, nativeDimensions }: Manifest,
): bigint[] {
  const vectors = canonical([spaceId, prompt, dtype ?? null, nativeDimensions ?? null])
  const width = ids.length === 0 ? 0 : hashes.length / ids.length
  const bytes = Buffer.from(hashes.buffer, hashes.byteOffset, hashes.byteLength)
  return ids.map((id, row) => {
    const text = bytes.toString('hex', row * width, (row + 1) * width)
    const carried = [...extra].map(([name, values]) => [name, values[row] ?? null])
    return hashOfId(JSON.stringify([id, text, vectors, carried], exactly))
  })
}

/** JSON has no integers beyond 2^53. */
const exactly = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value)

function has(sorted: BigUint64Array, wanted: bigint): boolean {
  let [low, high] = [0, sorted.length - 1]
  while (low <= high) {
    const middle = (low + high) >> 1
    const value = sorted[middle] ?? 0n
    if (value === wanted) return true
    if (value < wanted) low = middle + 1
    else high = middle - 1
  }
  return false
}
