// What reading the start or the metadata of an object tells about it.

import type { CarriedType, CsvTable, SlicePart } from '@reembed/protocol'

/** Where a slice may begin. */
export type SplitPoint = Pick<SlicePart, 'start' | 'seek'>

export interface ObjectIndex {
  /** In the unit of the object's format. */
  readonly extent: number
  /** In order, the first at 0. Records that are wide apart have fewer. */
  readonly splitPoints: readonly SplitPoint[]
  readonly table?: CsvTable
}

export interface ObjectIndexOptions {
  /** About how far cuts shall be from each other in objects of records. */
  readonly sliceBytes: number
  readonly signal?: AbortSignal | undefined
}

export interface ObjectInspection {
  readonly key: string
  /** The names of its fields: those of the records that were seen, or those of the table. */
  readonly fieldNames: readonly string[]
  /** Whether a record has the field at a path. */
  hasField(path: string): boolean
  /** How the field is carried, where the format says so itself. */
  fieldTypeOf(path: string): CarriedType | undefined
  /** What was parsed: the good records. None of Parquet and Arrow, of which only the metadata is read. */
  readonly records: readonly object[]
  /** Records that were seen, good or not; all of them where the metadata counts them. */
  readonly recordCount: number
  /** Bytes of these records, unpacked; 0 where the format is cut by rows. */
  readonly recordBytes: number
  /** Bytes of the object that they take, about. */
  readonly objectBytes: number
  /** Bytes of the field at a path over all `documents`, about, where the metadata tells. */
  fieldBytesOf?(path: string): number
  /** Bytes read to see them. */
  readonly bytesRead: number
  /** What is wrong with the first record that is none. */
  readonly firstError?: string
}

export interface InspectOptions {
  readonly start?: number
  readonly maxBytes?: number
  readonly signal?: AbortSignal | undefined
}
