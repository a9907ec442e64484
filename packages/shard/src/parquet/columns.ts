// The kinds of columns and their Parquet schema.
//
//   flat     one value or null for each row: the id, carried columns, text. zstd, with statistics
//   fixed    a fixed number of bytes for each row, stored as in memory: content hashes, which do not compress
//   vector   a list of a fixed number of values for each row, in the three levels that the Parquet format requires for
//            lists. No level is optional, so every vector has all its values. No statistics
//
// No column has a dictionary.

import type { CarriedType } from '@reembed/protocol'
import type { SchemaElement } from 'hyparquet'
import type { ColumnChunkInfo } from './column-chunk.ts'

export interface FlatColumn {
  readonly kind: 'flat'
  readonly name: string
  readonly type: CarriedType
  readonly nullable: boolean
}

export interface FixedColumn {
  readonly kind: 'fixed'
  readonly name: string
  readonly bytes: number
}

export type VectorElement = 'float32' | 'float16' | 'int8' | 'uint8'

export interface VectorColumn {
  readonly kind: 'vector'
  readonly name: string
  readonly element: VectorElement
  /** Values in each row. */
  readonly dimensions: number
}

export type ParquetColumn = FlatColumn | FixedColumn | VectorColumn

type Physical = Pick<SchemaElement, 'converted_type' | 'logical_type' | 'type_length'> & {
  readonly type: ColumnChunkInfo['type']
}

const FLAT: Record<CarriedType, Physical> = {
  string: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  int32: { type: 'INT32' },
  int64: { type: 'INT64' },
  double: { type: 'DOUBLE' },
  boolean: { type: 'BOOLEAN' },
}

const ELEMENT: Record<VectorElement, Physical> = {
  float32: { type: 'FLOAT' },
  float16: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 2, logical_type: { type: 'FLOAT16' } },
  // Parquet has no integer below 32 bits, so these take four bytes and are compressed.
  // hyparquet-writer encodes the bit width of their logical type as an i32 instead of a byte, which
  // readers refuse, so only the converted type is set.
  int8: { type: 'INT32', converted_type: 'INT_8' },
  uint8: { type: 'INT32', converted_type: 'UINT_8' },
}

/** Stored size of one value in bytes. */
export const ELEMENT_BYTES: Record<VectorElement, number> = { float32: 4, float16: 2, int8: 4, uint8: 4 }

/**
 * Whether a column is compressed. Floats of a model hardly compress, and compression slows reading.
 */
export const isCompressed = (column: ParquetColumn): boolean =>
  column.kind === 'flat' ||
  (column.kind === 'vector' && ELEMENT_BYTES[column.element] === 4 && column.element !== 'float32')

/** The schema of the footer: the root, then each column with all its levels. */
export function schemaOf(columns: readonly ParquetColumn[]): SchemaElement[] {
  return [{ name: 'shard', num_children: columns.length }, ...columns.flatMap(elementsOf)]
}

function elementsOf(column: ParquetColumn): SchemaElement[] {
  const { name } = column
  switch (column.kind) {
    case 'flat':
      return [{ name, repetition_type: column.nullable ? 'OPTIONAL' : 'REQUIRED', ...FLAT[column.type] }]
    case 'fixed':
      return [{ name, repetition_type: 'REQUIRED', type: 'FIXED_LEN_BYTE_ARRAY', type_length: column.bytes }]
    case 'vector':
      return [
        {
          name,
          repetition_type: 'REQUIRED',
          num_children: 1,
          converted_type: 'LIST',
          logical_type: { type: 'LIST' },
        },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', repetition_type: 'REQUIRED', ...ELEMENT[column.element] },
      ]
  }
}

/** The metadata that all pages of a column share. */
export function columnChunkInfo(column: ParquetColumn): ColumnChunkInfo {
  const codec = isCompressed(column) ? 'ZSTD' : 'UNCOMPRESSED'
  switch (column.kind) {
    case 'flat':
      return {
        path_in_schema: [column.name],
        type: FLAT[column.type].type,
        encodings: column.nullable ? ['PLAIN', 'RLE'] : ['PLAIN'],
        codec,
      }
    case 'fixed':
      return { path_in_schema: [column.name], type: 'FIXED_LEN_BYTE_ARRAY', encodings: ['PLAIN'], codec }
    case 'vector':
      return {
        path_in_schema: [column.name, 'list', 'element'],
        type: ELEMENT[column.element].type,
        encodings: ['PLAIN', 'RLE'],
        codec,
      }
  }
}
