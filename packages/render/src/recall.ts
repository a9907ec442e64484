// The recall of quantized vectors.

import type { Recall } from '@reembed/evaluate'
import { bytes, count } from './numbers.ts'

/** What `measureRecall` of @reembed/evaluate returns. */
interface MeasuredRecall {
  readonly top: number
  readonly queries: number
  readonly documents: number
  readonly recalls: readonly Recall[]
}

/** A table with one line for each type of stored vectors. */
export const recallLines = (
  { top, queries, documents, recalls }: MeasuredRecall,
  dimensions: number,
): string[] => [
  `recall@${top} against float32 (${bytes(4 * dimensions)} per vector): ${count(queries)} documents as queries among ${count(documents)}`,
  '',
  `${'stored as'.padEnd(28)}${'per vector'.padStart(10)}${'recall'.padStart(10)}`,
  ...recalls.map(
    ({ type, bytesPerVector, recall }) =>
      `${type.padEnd(28)}${bytes(bytesPerVector).padStart(10)}${`${(100 * recall).toFixed(1)} %`.padStart(10)}`,
  ),
]
