// What the metadata of a Parquet or Arrow object tells: its columns, their types and how much there is of them.

import type { CarriedType, SourceObject } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { arrowColumns, measureArrow } from './arrow.ts'
import { stepsOf } from './field.ts'
import { carriedTypeOf, leafAt, leavesOf, readParquetFooter } from './parquet-footer.ts'
import type { Probe, ProbeOptions } from './types.ts'

export function probeTable(store: Store, object: SourceObject, { signal }: ProbeOptions): Promise<Probe> {
  return object.format === 'parquet' ? probeParquet(store, object, signal) : probeArrow(store, object, signal)
}

async function probeParquet(
  store: Store,
  object: SourceObject,
  signal: AbortSignal | undefined,
): Promise<Probe> {
  const footer = await readParquetFooter(store, object, signal)
  const leaves = leavesOf(footer)
  return {
    ...factsOf(object, footer.rows),
    names: leaves.map(({ path }) => path),
    has: path => leafAt(leaves, path) !== undefined,
    typeOf(path): CarriedType | undefined {
      const leaf = leafAt(leaves, path)
      return leaf && carriedTypeOf(leaf)
    },
    bytesOf(path) {
      const leaf = leafAt(leaves, path)
      if (leaf === undefined) return 0
      return footer.metadata.row_groups.reduce(
        (sum, { columns }) => sum + Number(columns[leaf.column]?.meta_data?.total_uncompressed_size ?? 0),
        0,
      )
    },
    bytesRead: footer.bytesRead,
  }
}

async function probeArrow(
  store: Store,
  object: SourceObject,
  signal: AbortSignal | undefined,
): Promise<Probe> {
  const columns = await arrowColumns(store, object, signal)
  const { extent, cuts } = await measureArrow(store, object, signal)
  const typeOf = (path: string): CarriedType | undefined =>
    columns.get(path) ?? (columns.has(stepsOf(path)[0] ?? path) ? 'string' : undefined)
  return {
    ...factsOf(object, extent),
    names: [...columns.keys()],
    has: path => typeOf(path) !== undefined,
    typeOf,
    bytesRead: (cuts.length + 2) * 4096,
  }
}

const factsOf = ({ key, size }: SourceObject, rows: number) => ({
  key,
  records: [],
  documents: rows,
  bytes: 0,
  objectBytes: size,
})
