// Reads a few records at several places, to choose the fields and to estimate the size of
// documents. Of Parquet and Arrow, metadata is read, and a few rows of two objects.

import { createMapper, type DocumentMapping, parseTemplate } from '@reembed/corpus'
import { fieldGetter, inspectObject, type ObjectInspection } from '@reembed/formats'
import {
  type CarriedColumn,
  type CsvTable,
  type Document,
  type FieldMapping,
  ID_FIELDS,
  type SourceObject,
  TEXT_FIELDS,
  TITLE_FIELD,
} from '@reembed/protocol'
import { mapConcurrent, ReembedError } from '@reembed/shared'
import { carriedColumns, chooseField, requireField, requireRecords } from './choose-fields.ts'
import type { Corpus } from './corpus.ts'
import { fitSample, type SampleFit } from './sample-fit.ts'
import type { Survey } from './survey.ts'

/** Facts about the corpus from a few records. All except `fields` and `carry` are estimates. */
export interface Sample {
  /** Null for a corpus of only text and Markdown. */
  readonly fields: FieldMapping | null
  /** The field of the title, if a sampled record has the usual one. */
  readonly title: string | undefined
  readonly carry: readonly CarriedColumn[]
  /** What would become of the sampled records. Undefined for a corpus of only text and Markdown. */
  readonly fit?: SampleFit | undefined
  /** The dialects of the sampled CSV and TSV objects, each with the first object that has it. */
  readonly tables: readonly { readonly key: string; readonly table: CsvTable }[]
  readonly documents: number
  /** Decompressed bytes of a line of JSONL or CSV; 0 without any. */
  readonly bytesPerRecord: number
  readonly charsPerDocument: number
  /** Number of records in the sample, and of bytes read for them. */
  readonly lines: number
  readonly bytesRead: number
  /** What was read of a corpus that a run copies. */
  readonly probes: readonly ObjectInspection[]
}

export interface SampleOptions {
  /** Fields that the user named; the others are chosen. */
  readonly fields?: Partial<FieldMapping> | undefined
  /** See fitSample. */
  readonly onDocument?: ((document: Document) => void) | undefined
  /** Template that makes the text, instead of one field. */
  readonly template?: string | undefined
  /** Fields to carry: 'lang', or with an explicit type 'year:string'. */
  readonly carry?: readonly string[] | undefined
  /**
   * The sample that chose the fields, where the corpus is a copy of what it sampled: a block may
   * hold no row with a field that not every row has.
   */
  readonly copyOf?: Sample | undefined
  readonly signal?: AbortSignal | undefined
}

const PROBES = 8
const PROBE_BYTES = 64 * 1024

/**
 * Samples the records of a corpus. Reads about 8 times 64 KiB, more where records are longer, and
 * nothing for a corpus of only text and Markdown.
 * @throws ReembedError SOURCE_FORMAT, FIELD_NOT_FOUND; USAGE for a column type that does not exist,
 * or a field of a corpus without records; DUPLICATE_ID
 */
export async function sampleCorpus(
  { store, usualId, copyTo }: Corpus,
  survey: Survey,
  { fields: named = {}, template, carry = [], copyOf, onDocument, signal }: SampleOptions = {},
): Promise<Sample> {
  const places = survey.sampledObjects.flatMap(object => inspectOffsets(object, survey.sampledObjects.length))
  const probed = mapConcurrent(
    places,
    ({ object, start }, signal) => inspectObject(store, object, { start, maxBytes: PROBE_BYTES, signal }),
    { concurrency: PROBES, signal },
  )
  const inspected = await Array.fromAsync(probed)
  if (inspected.length === 0) refuseFields(survey, { ...named, template, carry: carry[0] })
  const probes = inspected.filter((_, i) => !isReadBefore(places, inspected, i))
  const fields =
    copyOf?.fields ?? (probes.length > 0 ? chooseFields(probes, named, { template, usualId }) : null)
  const seen = [...probes, ...(copyOf?.probes ?? [])]
  if (fields) refuseRepeatedIds(probes, { fields, template })
  const lines = sum(probes, ({ recordCount }) => recordCount)
  const decompressed = probes.filter(({ recordBytes }) => recordBytes > 0)
  const bytesPerRecord = ratio(
    sum(decompressed, ({ recordBytes }) => recordBytes),
    sum(decompressed, ({ recordCount }) => recordCount),
  )
  const objectBytesPerRecord = ratio(
    sum(probes, ({ objectBytes }) => objectBytes),
    lines,
  )
  const recordBytes = survey.bytes - survey.wholeFileBytes
  const records = lines > 0 ? Math.max(1, Math.round(recordBytes / objectBytesPerRecord)) : 0
  const documents = records + survey.wholeFiles
  const chars = fields ? records * charsPerRecord(probes, fields.text) : 0
  const columns = fields ? carriedColumns(seen, carry) : []
  return {
    fields,
    title: seen.some(({ fieldNames }) => fieldNames.includes(TITLE_FIELD)) ? TITLE_FIELD : undefined,
    carry: columns,
    fit: fields
      ? await fitSample(
          store,
          { probes, objects: survey.sampledObjects },
          { fields, template, carry: columns },
          { onDocument, signal },
        )
      : undefined,
    tables: tablesOf(probes),
    documents,
    bytesPerRecord,
    charsPerDocument: ratio(chars + survey.wholeFileBytes, documents),
    lines,
    bytesRead: sum(inspected, ({ bytesRead }) => bytesRead),
    probes: copyTo ? probes : [],
  }
}

/** @throws ReembedError USAGE if a field is named for a corpus that has no records */
function refuseFields(
  { wholeFiles }: Survey,
  named: Readonly<Record<'template' | 'carry', string | undefined>> & Partial<FieldMapping>,
): void {
  const [role, name] = Object.entries(named).find(([, name]) => name !== undefined) ?? []
  if (role === undefined) return
  throw new ReembedError(
    'USAGE',
    `the source has no record with a field ${JSON.stringify(name)}: its ${wholeFiles} files are one document each. ` +
      'Remove the setting, or give a source of records',
    { option: `fields.${role}` },
  )
}

/**
 * Offsets to sample in an object: its start, and more offsets in a large object of plain JSONL
 * where few objects are sampled.
 */
function inspectOffsets(object: SourceObject, objects: number): { object: SourceObject; start: number }[] {
  const isPlain = object.format === 'jsonl' && object.compression === undefined
  const count = isPlain && object.size > PROBES * PROBE_BYTES ? Math.floor(PROBES / objects) : 1
  const step = Math.floor(object.size / count)
  return Array.from({ length: count }, (_, i) => ({ object, start: i * step }))
}

/**
 * Whether a place lies within what the first place of its object read: at the start of an object,
 * the inspection reads on to the end of a record, however long. Its records would occur twice.
 */
function isReadBefore(
  places: ReturnType<typeof inspectOffsets>,
  inspected: readonly ObjectInspection[],
  i: number,
): boolean {
  const { object, start } = places[i] ?? {}
  const first = places.findIndex(place => place.object === object)
  return first < i && (start ?? 0) < (inspected[first]?.bytesRead ?? 0)
}

function chooseFields(
  probes: readonly ObjectInspection[],
  named: Partial<FieldMapping>,
  { template, usualId }: Pick<SampleOptions, 'template'> & Pick<Corpus, 'usualId'>,
): FieldMapping {
  const seen = requireRecords(probes)
  const id = chooseField(seen, 'id', named.id, usualId === undefined ? ID_FIELDS : [usualId])
  if (template === undefined) return { id, text: chooseField(seen, 'text', named.text, TEXT_FIELDS) }
  const { fieldPaths } = parseTemplate(template)
  for (const name of fieldPaths) requireField(probes, name, 'fields.template')
  return { id, text: named.text ?? fieldPaths.at(-1) ?? '' }
}

/**
 * Two documents with one id, which finalize would find when everything is embedded.
 * @throws ReembedError DUPLICATE_ID
 */
function refuseRepeatedIds(probes: readonly ObjectInspection[], mapping: DocumentMapping): void {
  const mapper = createMapper(mapping)
  const keys = new Map<string, string>()
  for (const { key, records } of probes) {
    for (const record of records) {
      const document = mapper.map(record, { part: 0, offset: 0 })
      // A reject, as an empty text becomes one, may have the id of a document.
      if (document.kind !== 'document' || document.text.trim() === '') continue
      const first = keys.get(document.id)
      keys.set(document.id, key)
      if (first === undefined) continue
      const where =
        first === key
          ? `twice in ${JSON.stringify(key)}`
          : `in ${JSON.stringify(first)} and ${JSON.stringify(key)}`
      throw new ReembedError(
        'DUPLICATE_ID',
        `duplicate ids: ${JSON.stringify(document.id)} (${where}). Nothing was embedded: make the ids unique, or choose another id field`,
        { option: 'fields.id' },
      )
    }
  }
}

function charsPerRecord(probes: readonly ObjectInspection[], path: string): number {
  const field = fieldGetter(path)
  let chars = 0
  let documents = 0
  for (const { records, fieldBytesOf, recordCount: counted } of probes) {
    if (fieldBytesOf) {
      chars += fieldBytesOf(path)
      documents += counted
    }
    for (const record of records) {
      const text = field(record)
      chars += typeof text === 'string' ? text.length : 0
      documents += 1
    }
  }
  return ratio(chars, documents)
}

function tablesOf(probes: readonly ObjectInspection[]): Sample['tables'] {
  const found = new Map<string, { key: string; table: CsvTable }>()
  for (const { key, table } of probes) {
    if (table === undefined) continue
    const { delimiter, quote, escaping, header } = table
    const dialect = JSON.stringify([delimiter, quote, escaping, header])
    if (!found.has(dialect)) found.set(dialect, { key, table })
  }
  return [...found.values()]
}

const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b)

const sum = <T>(values: readonly T[], of: (value: T) => number): number =>
  values.reduce((total, value) => total + of(value), 0)
