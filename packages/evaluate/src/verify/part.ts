// A part of a verification: part k of n reads every nth shard whole, and compares the ids of an nth
// of all hashes. Each part checks all receipts and the manifest as well, so the run is verified
// when every part is, in any order, by any process, and a part that failed is repeated alone. No
// part writes anything.

import { ReembedError } from '@reembed/shared'
import { wordsOf } from './buckets.ts'

export interface Part {
  /** From 0. */
  readonly index: number
  readonly of: number
}

export const WHOLE: Part = { index: 0, of: 1 }
const MAX_PARTS = 10_000

/** @param text for example '3/16' @throws ReembedError USAGE */
export function partOf(text: string): Part {
  const [, number = '', of = ''] = /^(\d{1,5})\/(\d{1,5})$/.exec(text) ?? []
  if (Number(number) >= 1 && Number(number) <= Number(of) && Number(of) <= MAX_PARTS)
    return { index: Number(number) - 1, of: Number(of) }
  throw new ReembedError(
    'USAGE',
    `'${text}' is no part of a verification: state its number and the number of parts, for example 3/16, with at most ${MAX_PARTS} parts`,
    { option: 'part' },
  )
}

/** Whether the part reads the shard whole. */
export const isShardOfPart = (shard: number, { index, of }: Part): boolean => shard % of === index

/** The hashes that belong to the part, by their upper word: buckets use the lower one. */
export function ofPart(hashes: BigUint64Array, { index, of }: Part): BigUint64Array {
  if (of === 1) return hashes
  const words = wordsOf(hashes)
  let kept = 0
  for (let i = 0; i < words.length; i += 2) {
    if ((words[i + 1] ?? 0) % of !== index) continue
    words.copyWithin(kept, i, i + 2)
    kept += 2
  }
  return hashes.subarray(0, kept / 2)
}
