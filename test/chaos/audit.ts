// The result of a run, seen from outside: every row is read back and compared with the corpus and
// the model.

import { createHash } from 'node:crypto'
import { hashVector } from '@reembed/local'
import { readReceipt, readShard } from '@reembed/shard'
import { shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'

export const DIMENSIONS = 16
/** The revision that is planned, and the one that a replica must not be believed. */
export const PLANNED = 'revision-a'
export const FOREIGN = 'revision-b'

/** The documents of every corpus here: their ids and texts say their number. */
export const idOf = (n: number): string => `d${n}`
export const textOf = (n: number): string => `document ${n} speaks of topic ${n % 97}`

/** Which document a text is of; undefined for a canary. */
export function numberOf(text: string): number | undefined {
  const [, number] = /^document (\d+) speaks of topic \d+$/.exec(text) ?? []
  return number === undefined ? undefined : Number(number)
}

export interface Audit {
  readonly lost: number
  /** Rows beyond the first of a document, and rows of no document. */
  readonly doubled: number
  /** Vectors that are not those of their text by the planned revision. */
  readonly foreign: number
  /** Of all vectors in the order of the documents. */
  readonly digest: string
  /** Documents of each shard. */
  readonly sizes: ReadonlyMap<number, number>
}

export async function audit(store: Store, run: string, documents: number): Promise<Audit> {
  const all = new Float32Array(documents * DIMENSIONS)
  const times = new Uint8Array(documents)
  const sizes = new Map<number, number>()
  let [doubled, foreign] = [0, 0]
  for await (const { key } of store.list(shardPrefix(run))) {
    const { receipt } = await readReceipt(store, key)
    sizes.set(receipt.shard, receipt.documents)
    for await (const { ids, vectors } of readShard(store, key)) {
      for (const [row, id] of ids.entries()) {
        const n = Number(id.slice(1))
        const vector = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
        if (idOf(n) !== id || n >= documents || times[n] === 1) doubled += 1
        else {
          times[n] = 1
          all.set(vector, n * DIMENSIONS)
          const right = hashVector(textOf(n), { dimensions: DIMENSIONS, sha: PLANNED })
          if (!right.every((value, i) => value === vector[i])) foreign += 1
        }
      }
    }
  }
  const lost = times.filter(count => count === 0).length
  return { lost, doubled, foreign, digest: createHash('sha256').update(all).digest('hex'), sizes }
}
