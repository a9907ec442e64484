// Facts about an object that come from its first bytes or its metadata.

import type { CarriedType, CsvTable, SlicePart } from '@reembed/protocol'

/** A position at which a slice may begin. */
export type SplitPoint = Pick<SlicePart, 'start' | 'seek'>

export interface ObjectIndex {
  /** Size of the object, in the unit in which its format is cut: bytes or rows. */
  readonly extent: number
  /** Ascending, the first at 0. */
  readonly splitPoints: readonly SplitPoint[]
  readonly table?: CsvTable
}

export interface ObjectIndexOptions {
  /** Approximate distance between split points in bytes. */
  readonly sliceBytes: number
  readonly signal?: AbortSignal | undefined
}

export interface ObjectInspection {
  readonly key: string
  /** Field names: those of the inspected records, or the columns of a table. */
  readonly fieldNames: readonly string[]
  /** Whether any record has the field at a path. */
  hasField(path: string): boolean
  /** The type in which the field is carried, if the format defines one. */
  fieldTypeOf(path: string): CarriedType | undefined
  /** The valid records. Empty for Parquet and Arrow, of which only the metadata is read. */
  readonly records: readonly object[]
  /** Inspected records, valid or not. For Parquet and Arrow, all rows. */
  readonly recordCount: number
  /** Decompressed bytes of these records. 0 for formats that are cut by rows. */
  readonly recordBytes: number
  /** Approximate bytes of the object that these records occupy. */
  readonly objectBytes: number
  /** Approximate bytes of the field at a path over all rows. Parquet only. */
  fieldBytesOf?(path: string): number
  /** The dialect of a CSV or TSV object. */
  readonly table?: CsvTable
  /** Bytes read from the store. */
  readonly bytesRead: number
  /** Message of the first invalid record. */
  readonly firstError?: string
}

export interface InspectOptions {
  readonly start?: number
  readonly maxBytes?: number
  readonly signal?: AbortSignal | undefined
}
