// Selects the reader of a format.

import type { PartRead, SlicePart, SourceRecord } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { readJsonl } from './jsonl/jsonl.ts'
import type { ReadPartOptions } from './record-mapper.ts'

/**
 * Reads the records of one part in order, in batches. Returns the range that was read. Readers of
 * tables depend on large libraries, which are loaded when the first table is read.
 * @throws ReembedError SOURCE_CHANGED if the object changed after planning.
 */
export async function readRecords(
  store: Store,
  part: SlicePart,
  options: ReadPartOptions,
): Promise<AsyncGenerator<SourceRecord[], PartRead, undefined>> {
  switch (part.format) {
    case 'parquet':
      return (await import('./parquet/parquet.ts')).readParquet(store, part, options)
    case 'arrow':
      return (await import('./arrow/arrow.ts')).readArrow(store, part, options)
    case 'csv':
    case 'tsv':
      return (await import('./csv/csv.ts')).readCsv(store, part, options)
    default:
      return readJsonl(store, part, options)
  }
}
