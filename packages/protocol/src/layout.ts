// What a shard holds, as a plan states it.

import type { CarriedColumn } from './corpus.ts'

/** How the values of a vector are stored. */
export type Dtype = 'float32' | 'float16'

/** What a shard holds beside id, vector and content hash. It changes no vector, so it is no part of the recipe. */
export interface ShardLayout {
  /** Fields of the records, each as a column of its own. */
  readonly carry?: readonly CarriedColumn[] | undefined
  /** Whether rows are chunks, and say so: `doc_id`, `chunk_index`, `char_start`, `char_end`, `heading_path`. */
  readonly chunked?: boolean | undefined
  /** Whether the text is kept, as it was before the prompt. */
  readonly text?: boolean | undefined
  /** Whether an `ARROW:schema` key tells Arrow's readers that the vectors are of fixed size. */
  readonly arrowSchema?: boolean | undefined
}
