// The columns of a shard, as the plan fixes them.

import type { CarriedColumn } from './corpus.ts'

/** How the values of a vector are stored. */
export const DTYPES = ['float32', 'float16'] as const
export type Dtype = (typeof DTYPES)[number]

/**
 * The columns of a shard besides id, vector and content hash. They do not affect vectors, so they
 * are not in the recipe.
 */
export interface ShardLayout {
  /** Carried columns. */
  readonly carry?: readonly CarriedColumn[] | undefined
  /**
   * Whether rows are chunks, with `doc_id`, `chunk_index`, `char_start`, `char_end` and
   * `heading_path`.
   */
  readonly chunked?: boolean | undefined
  /** Whether the shard keeps the text, without the prompt. */
  readonly text?: boolean | undefined
  /** Whether an `ARROW:schema` key declares the vectors as fixed-size lists to Arrow readers. */
  readonly arrowSchema?: boolean | undefined
}
