// Verifies a shard against its receipt, every byte and every vector. Reads only the shard, in one
// pass, with one row group in memory.

import type { Receipt } from '@reembed/protocol'
import { messageOf, normOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { corruptShard, type ReadShardOptions, readFooter } from './footer.ts'
import { decodeRowGroup, readRowGroups, type ShardBatch, type ShardReceipt } from './read.ts'
import { createRepeatedVectors, isMostlyRepeated, REPEATED_CAUSES } from './repeated-vectors.ts'

/** Values that the receipt must have. */
export type ShardExpectations = Partial<
  Pick<Receipt, 'run' | 'shard' | 'shards' | 'spaceId' | 'recipeId' | 'bodySha256'>
>

/** A server that computes with 16 bits normalises to within about 0.001. */
const NORM_TOLERANCE = 0.01

/**
 * Verifies a shard: footer, receipt, hash of the body, row count, every id, level and vector.
 * @throws ReembedError CORRUPT with the first fault. A changed byte is always reported as a change,
 * even if it makes the file unreadable.
 */
export async function checkShard(
  store: Store,
  key: string,
  expected: ShardExpectations = {},
  options?: ReadShardOptions,
): Promise<CheckedShard> {
  const footer = await readFooter(store, key, options)
  const { receipt, footerStart, size, sha256, name } = footer
  for (const [field, value] of Object.entries(expected)) {
    const found = receipt[field as keyof ShardExpectations]
    if (found !== value)
      throw corruptShard(name, `belongs to another job: its ${field} is ${found}, expected ${value}`)
  }
  if (receipt.documents !== receipt.rows + receipt.rejects.length) {
    throw corruptShard(
      name,
      `does not balance: ${receipt.documents} documents are not ${receipt.rows} rows + ${receipt.rejects.length} rejects`,
    )
  }

  const vectors = createVectorCheck(receipt)
  let wrong: string | undefined
  let index = 0
  for await (const { group, bytes } of readRowGroups(store, key, footer, options?.signal)) {
    try {
      wrong ??= vectors.add(decodeRowGroup(bytes, footer, group, true))
    } catch (cause) {
      wrong ??= `cannot be read: row group ${index} ${messageOf(cause)}`
    }
    index += 1
  }
  wrong ??= vectors.end()
  if (wrong !== undefined) throw corruptShard(name, wrong)
  return { receipt, footerStart, size, sha256, ...vectors.measured }
}

/** A verified shard and its measurements. */
export interface CheckedShard extends ShardReceipt {
  /** Least and greatest norm of a vector; infinite and 0 for a shard without rows. */
  readonly norms: { readonly min: number; readonly max: number }
  /**
   * Different texts whose vector at least three others of their row group have, less the texts that
   * the model did not read to their end: those may agree in all that it read.
   */
  readonly repeatedVectors: number
  /** Rows with another text than the previous row. */
  readonly textChanges: number
  /**
   * Least and greatest value of each dimension, up to the row at which they were found to differ;
   * infinite for a shard without rows.
   */
  readonly minValues: Float32Array
  readonly maxValues: Float32Array
}

interface VectorCheck {
  readonly measured: Omit<CheckedShard, keyof ShardReceipt>
  /** Returns the fault of these rows, if any. */
  add(batch: ShardBatch): string | undefined
  end(): string | undefined
}

function createVectorCheck({ rows, truncated, model: { dimensions, normalized } }: Receipt): VectorCheck {
  let [min, max, textChanges] = [Number.POSITIVE_INFINITY, 0, 0]
  const repeated = createRepeatedVectors(dimensions)
  const repeatedVectors = (): number => Math.max(0, repeated.count - truncated)
  const ranges = createValueRanges(dimensions)
  const { minValues, maxValues } = ranges
  let previous: string | undefined
  let seen = 0
  return {
    get measured() {
      return { norms: { min, max }, repeatedVectors: repeatedVectors(), textChanges, minValues, maxValues }
    },
    add({ ids, hashes, vectors }) {
      for (const [row, id] of ids.entries()) {
        const vector = vectors.subarray(row * dimensions, (row + 1) * dimensions)
        const norm = normOf(vectors, row, dimensions)
        min = Math.min(min, norm)
        max = Math.max(max, norm)
        const what = wrongNorm(norm, normalized)
        if (what) return `is not usable: the vector of ${JSON.stringify(id)} (row ${seen + row}) ${what}`
        const hash = Buffer.from(hashes.buffer, hashes.byteOffset + row * 16, 16).toString('latin1')
        ranges.add(vector, norm)
        if (previous !== hash) textChanges += 1
        previous = hash
      }
      repeated.add({ hashes, vectors })
      seen += ids.length
      return undefined
    },
    end() {
      if (seen !== rows) return `has ${seen} rows, but its receipt states ${rows}`
      if (!isMostlyRepeated(repeated, rows, truncated)) return undefined
      return `is not usable: ${repeated.majority} of its ${rows} texts have the same vector as most others; ${REPEATED_CAUSES}, then embed the run again`
    },
  }
}

function wrongNorm(norm: number, normalized: boolean): string | undefined {
  if (!Number.isFinite(norm)) return 'has values that are not finite'
  if (norm === 0) return 'is all zeros'
  if (normalized && Math.abs(norm - 1) > NORM_TOLERANCE) return `has length ${norm.toFixed(4)} instead of 1`
  return undefined
}

/** Relative to the average value of a vector: values this far apart count as different. */
const APART = 0.01

/**
 * Tracks the least and the greatest value of each dimension while they are about equal. A dimension
 * that was found to differ is not checked again. After a few vectors of a sound model none is left,
 * and the check costs nothing.
 */
function createValueRanges(dimensions: number) {
  const minValues = new Float32Array(dimensions).fill(Number.POSITIVE_INFINITY)
  const maxValues = new Float32Array(dimensions).fill(Number.NEGATIVE_INFINITY)
  const open = Array.from(minValues.keys())
  return {
    minValues,
    maxValues,
    add(vector: Float32Array, norm: number): void {
      const apart = (APART * norm) / Math.sqrt(dimensions)
      let kept = 0
      for (const i of open) {
        const value = vector[i] ?? 0
        if (value < (minValues[i] ?? 0)) minValues[i] = value
        if (value > (maxValues[i] ?? 0)) maxValues[i] = value
        if ((maxValues[i] ?? 0) - (minValues[i] ?? 0) < apart) open[kept++] = i
      }
      open.length = kept
    },
  }
}
