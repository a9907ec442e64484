// Parts of commands that apply an export since a version: Python that reads the ids to delete, and
// the rows.

import { pythonText } from '../layout.ts'

/** Ids in one request: Pinecone deletes at most 1,000. */
const IDS_AT_ONCE = 1_000

/** The imports of `deletesLoop` and `rowsLoop`. */
export const ARROW_IMPORTS = 'import pyarrow as pa, pyarrow.dataset as ds'

/**
 * Calls `work` with `ids`. Nothing if there are none: their folder does not exist then. Without the
 * schema, ids in the form of dates become dates.
 */
export const deletesLoop = (target: string, deletes: number, work: string): string =>
  deletes === 0
    ? ''
    : `for batch in ds.dataset(${pythonText(`${target}/deletes`)}, format="json", schema=pa.schema([("id", pa.string())])).to_batches(batch_size=${IDS_AT_ONCE}):
    ids = batch.column("id").to_pylist()
    if ids: ${work}\n`

/** Calls `work` with `rows` of the Parquet files in `folder`, so many at a time. */
export const rowsLoop = (folder: string, atOnce: number, work: string): string =>
  `for batch in ds.dataset(${pythonText(folder)}).to_batches(batch_size=${atOnce}):
    rows = batch.to_pylist()
    if rows: ${work}\n`
