// Inspects a Parquet or Arrow object by its metadata: columns, their types and their sizes.

import type { CarriedType, SourceObject } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { arrowColumns, indexArrow } from '../arrow/arrow.ts'
import {
  carriedTypeOf,
  leafColumnAt,
  leafColumnsOf,
  nestedColumnAt,
  type ParquetFooter,
  readParquetFooter,
  requireOneColumn,
} from '../parquet/parquet-footer.ts'
import { pathSegments } from '../value/field.ts'
import type { InspectOptions, ObjectInspection } from './object-facts.ts'

export function inspectTable(
  store: Store,
  object: SourceObject,
  { signal }: InspectOptions,
): Promise<ObjectInspection> {
  return object.format === 'parquet'
    ? inspectParquet(store, object, signal)
    : inspectArrow(store, object, signal)
}

async function inspectParquet(
  store: Store,
  object: SourceObject,
  signal: AbortSignal | undefined,
): Promise<ObjectInspection> {
  const footer = await readParquetFooter(store, object, signal)
  const leaves = leafColumnsOf(footer)
  const fieldTypeOf = (path: string): CarriedType | undefined => {
    const leaf = leafColumnAt(leaves, path)
    if (leaf) return carriedTypeOf(leaf)
    return nestedColumnAt(footer, path) && 'string'
  }
  return {
    ...factsOf(object, footer.rows),
    fieldNames: [...new Set([...leaves.map(({ path }) => path), ...nestedNames(footer)])],
    hasField(path) {
      requireOneColumn(object.key, footer, path)
      return fieldTypeOf(path) !== undefined
    },
    fieldTypeOf,
    fieldBytesOf(path: string) {
      const leaf = leafColumnAt(leaves, path)
      if (leaf === undefined) return 0
      return footer.metadata.row_groups.reduce(
        (sum, { columns }) => sum + Number(columns[leaf.column]?.meta_data?.total_uncompressed_size ?? 0),
        0,
      )
    },
    bytesRead: footer.bytesRead,
  }
}

/** Lists, maps and structs at the top. */
const nestedNames = ({ schema }: ParquetFooter): string[] =>
  schema.children.flatMap(({ element, children }) =>
    children.length > 0 || element.repetition_type === 'REPEATED' ? [element.name] : [],
  )

async function inspectArrow(
  store: Store,
  object: SourceObject,
  signal: AbortSignal | undefined,
): Promise<ObjectInspection> {
  const columns = await arrowColumns(store, object, signal)
  const { extent, splitPoints } = await indexArrow(store, object, signal)
  const fieldTypeOf = (path: string): CarriedType | undefined =>
    columns.get(path) ?? (columns.has(pathSegments(path)[0] ?? path) ? 'string' : undefined)
  return {
    ...factsOf(object, extent),
    fieldNames: [...columns.keys()],
    hasField: path => fieldTypeOf(path) !== undefined,
    fieldTypeOf,
    bytesRead: (splitPoints.length + 2) * 4096,
  }
}

const factsOf = ({ key, size }: SourceObject, rows: number) => ({
  key,
  records: [],
  recordCount: rows,
  recordBytes: 0,
  objectBytes: size,
})
