// What a finished load proves and records: the vector store counts the rows that were written, and
// a sample of them is read back.

import {
  type LoadProof,
  type LoadRecord,
  type LoadTarget,
  type LoadUpdate,
  putLoadRecord,
  readLoadRecords,
} from '@reembed/protocol'
import { ReembedError, withRetries } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { compareSample } from './compare.ts'
import type { Target, VectorStore } from './vector-store.ts'

export interface Written {
  /** The id of the load. */
  readonly load: string
  readonly shards: number
  readonly rows: number
  readonly refused: number
  readonly updated?: LoadUpdate | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Counts the rows of the target and compares a sample.
 * @throws ReembedError UNBALANCED if the vector store does not hold what was written
 */
export async function prove(
  source: Store,
  vectors: VectorStore,
  { target, manifest }: Target,
  { load, shards, rows, refused, updated, signal }: Written,
): Promise<LoadProof> {
  if (shards !== manifest.shards || rows + refused !== manifest.totals.rows) {
    throw new ReembedError(
      'UNBALANCED',
      `${rows} rows in ${target} and ${refused} refused ones, of ${shards} shards, are not the ${manifest.totals.rows} rows of ${manifest.shards} shards of run ${manifest.run}: drop the target and load again`,
    )
  }
  const counted = await withRetries(() => vectors.count(target), { signal })
  if (counted !== rows) {
    throw new ReembedError(
      'UNBALANCED',
      `${vectors.address} counts ${counted ?? 'no'} rows in ${target}, and ${rows} were written: another program changed it; drop the target and load again`,
    )
  }
  const sampled = await compareSample(source, manifest, vectors, { target, load, signal })
  const { shardsSha256 } = manifest
  return { load, shardsSha256, shards, rows, refused, sampled, compared: vectors.compared(manifest), updated }
}

/**
 * Appends the record of a load unless the newest record of the target is the same. A load that is
 * repeated after searches were switched to another target is recorded again: its target is not old.
 */
export async function recordLoad(
  source: Store,
  at: LoadTarget,
  proof: LoadProof,
  by: string | undefined,
): Promise<LoadRecord> {
  let used: string | undefined
  for await (const record of readLoadRecords(source)) {
    if (record.address !== at.address || record.name !== at.name) continue
    const { action, target, proof: known } = record
    if (action === 'switch') used ??= target
    if (action === 'switch' || target !== at.target) continue
    const isSame =
      action === 'load' && known?.load === proof.load && known.shardsSha256 === proof.shardsSha256
    if (isSame && (used ?? target) === target) return record
    break
  }
  return putLoadRecord(source, { ...at, action: 'load', proof, by })
}
