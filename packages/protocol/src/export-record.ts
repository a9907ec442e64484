// The record of an export, `reembed-export.json` in the target. It is written first, so that an
// interrupted export continues with the same run, layout and ranges.

import { finite, list, optional, record, text } from '@reembed/shared'
import { getShaped, type Store } from '@reembed/store'

/** Key of the record that marks a target as one export, relative to the target. */
export const EXPORT_RECORD_KEY = 'reembed-export.json'

/** What a target holds. Further fields repeat the request. */
export interface ExportRecord {
  readonly run: string
  readonly layout: string
  /** Minimum and maximum per dimension, for int8. */
  readonly ranges?: ExportRanges | undefined
}

interface ExportRanges {
  readonly min: readonly number[]
  readonly max: readonly number[]
}

/**
 * Reads the record of an export; undefined if the target has none. @throws ReembedError CORRUPT if
 * it is invalid
 */
export const readExportRecord = (target: Store): Promise<ExportRecord | undefined> =>
  getShaped<ExportRecord>(target, EXPORT_RECORD_KEY, exportShape, 'an export record')

const exportShape = record<ExportRecord>({
  run: text,
  layout: text,
  ranges: optional(record<ExportRanges>({ min: list(finite), max: list(finite) })),
})
