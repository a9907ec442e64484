// What reading the start or the metadata of an object tells about it.

import type { CarriedType, CsvTable, SlicePart } from '@reembed/protocol'

/** Where a slice may begin. */
export type Cut = Pick<SlicePart, 'start' | 'seek'>

export interface Measure {
  /** In the unit of the object's format. */
  readonly extent: number
  /** In order, the first at 0. Records that are wide apart have fewer. */
  readonly cuts: readonly Cut[]
  readonly table?: CsvTable
}

export interface MeasureOptions {
  /** About how far cuts shall be from each other in objects of records. */
  readonly sliceBytes: number
  readonly signal?: AbortSignal | undefined
}

export interface Probe {
  readonly key: string
  /** The names of its fields: those of the records that were seen, or those of the table. */
  readonly names: readonly string[]
  /** Whether a record has the field at a path. */
  has(path: string): boolean
  /** How the field is carried, where the format says so itself. */
  typeOf(path: string): CarriedType | undefined
  /** What was parsed: the good records. None of Parquet and Arrow, of which only the metadata is read. */
  readonly records: readonly object[]
  /** Records that were seen, good or not; all of them where the metadata counts them. */
  readonly documents: number
  /** Bytes of these records, unpacked; 0 where the format is cut by rows. */
  readonly bytes: number
  /** Bytes of the object that they take, about. */
  readonly objectBytes: number
  /** Bytes of the field at a path over all `documents`, about, where the metadata tells. */
  bytesOf?(path: string): number
  /** Bytes read to see them. */
  readonly bytesRead: number
  /** What is wrong with the first record that is none. */
  readonly fault?: string
}

export interface ProbeOptions {
  readonly start?: number
  readonly maxBytes?: number
  readonly signal?: AbortSignal | undefined
}
