// The record of an export, `reembed-export.json` in the target. It is written first, so that an
// interrupted export continues with the same run, layout and ranges.

import { filled, filledText, finite, optional, record } from '@reembed/shared'
import { objectKind, type Store } from '@reembed/store'

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
  exportRecords.read(target, EXPORT_RECORD_KEY)

/** Writes the record of an export, put-if-absent. */
export const putExportRecord = (
  target: Store,
  record: ExportRecord & Readonly<Record<string, unknown>>,
): Promise<'created' | 'exists'> => exportRecords.put(target, EXPORT_RECORD_KEY, record)

const exportRecords = objectKind<ExportRecord>({
  noun: 'an export record that reembed wrote',
  shape: record<ExportRecord>({
    run: filledText,
    layout: filledText,
    ranges: optional(record<ExportRanges>({ min: filled(finite), max: filled(finite) })),
  }),
  check: ({ ranges }) =>
    ranges === undefined || ranges.min.length === ranges.max.length
      ? undefined
      : 'ranges.min and ranges.max differ in length',
})
