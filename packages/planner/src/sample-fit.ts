// Maps the sampled records as a worker would, before anything is embedded: which of them would be
// rejected, and which values of carried columns would become null.

import { createMapper, type DocumentMapping, readSlice } from '@reembed/corpus'
import { fieldGetter, fitsColumn, isRowFormat, type ObjectInspection } from '@reembed/formats'
import type { CarriedColumn, Document, SourceObject, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

/** What would become of the sampled records. */
export interface SampleFit {
  readonly records: number
  readonly rejected: number
  /** The message of the first reject. */
  readonly reject?: string
  /** Columns that cannot hold some of the values. */
  readonly columns: readonly ColumnFit[]
}

/** Values of a carried column that it cannot hold, or that are no finite numbers. */
export interface ColumnFit {
  readonly column: CarriedColumn
  readonly values: number
  /** Values that would become null, or reject their document if the column is strict. */
  readonly unfit: number
  readonly example?: string
  readonly notFinite: number
}

const TABLE_ROWS = 64
const TABLES = 2
const EXAMPLE_CHARS = 40

export interface SampleFitOptions {
  /** Called with each sampled document; then rows of tables are read in any case. */
  readonly onDocument?: ((document: Document) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Maps the records of the probes, and the first rows of a few tables.
 * @throws ReembedError SOURCE_FORMAT if all sampled records would be rejected, USAGE if a column
 * can hold none of its values
 */
export async function fitSample(
  store: Store,
  {
    probes,
    objects,
  }: { readonly probes: readonly ObjectInspection[]; readonly objects: readonly SourceObject[] },
  mapping: DocumentMapping,
  { onDocument, signal }: SampleFitOptions,
): Promise<SampleFit> {
  const mapper = createMapper(mapping)
  const fits = createColumnFits(mapping.carry ?? [])
  const mapped: SourceRecord[] = []
  for (const { records } of probes) {
    for (const record of records) {
      mapped.push(mapper.map(record, { part: 0, offset: 0 }))
      fits.add(record)
    }
  }
  // Without columns to carry and without a template, the metadata of a table states its types.
  const needsRows =
    onDocument !== undefined || mapping.template !== undefined || (mapping.carry ?? []).length > 0
  const tables = needsRows ? objects.filter(({ format }) => isRowFormat(format)).slice(0, TABLES) : []
  for (const object of tables) {
    const rows = probes.find(({ key }) => key === object.key)?.recordCount ?? 0
    const part = { ...object, start: 0, end: Math.min(rows, TABLE_ROWS), extent: rows }
    if (part.end === 0) continue
    const reader = readSlice(store, { parts: [part] }, { ...mapping, onRecord: fits.add, signal })
    for await (const record of reader.records) mapped.push(record)
  }
  for (const record of mapped) if (record.kind === 'document') onDocument?.(record)
  const rejects = mapped.filter(record => record.kind === 'reject')
  const [first] = rejects
  if (first && rejects.length === mapped.length) {
    throw new ReembedError(
      'SOURCE_FORMAT',
      `All ${mapped.length} sampled records would be rejected (${first.reason}: ${first.message}): correct the corpus or choose other fields`,
    )
  }
  return {
    records: mapped.length,
    rejected: rejects.length,
    ...(first && { reject: first.message }),
    columns: fits.found(),
  }
}

function createColumnFits(columns: readonly CarriedColumn[]) {
  const counted = columns.map(column => ({
    column,
    field: fieldGetter(column.from ?? column.name),
    values: 0,
    unfit: 0,
    notFinite: 0,
    example: undefined as string | undefined,
  }))
  return {
    add(record: object): void {
      for (const one of counted) {
        const value = one.field(record)
        if (value === undefined || value === null) continue
        one.values += 1
        if (typeof value === 'number' && !Number.isFinite(value) && one.column.type === 'double')
          one.notFinite += 1
        if (fitsColumn(value, one.column.type)) continue
        one.unfit += 1
        one.example ??= exampleOf(value)
      }
    },
    found(): ColumnFit[] {
      for (const { column, values, unfit, example } of counted) {
        if (unfit === 0 || unfit < values) continue
        throw new ReembedError(
          'USAGE',
          `cannot carry ${JSON.stringify(column.from ?? column.name)} as ${column.type}: the column can hold none of its ${values} sampled values, such as ${example}. Choose another type or leave the field out`,
          { option: 'fields.carry' },
        )
      }
      return counted
        .filter(({ unfit, notFinite }) => unfit + notFinite > 0)
        .map(({ field: _, example, ...fit }) => ({ ...fit, ...(example !== undefined && { example }) }))
    },
  }
}

/** A short form of a value of the corpus. */
function exampleOf(value: unknown): string {
  if (
    typeof value !== 'string' &&
    typeof value !== 'number' &&
    typeof value !== 'bigint' &&
    typeof value !== 'boolean'
  )
    return 'a value without an exact text'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > EXAMPLE_CHARS ? `${text.slice(0, EXAMPLE_CHARS - 1)}…` : text
}
