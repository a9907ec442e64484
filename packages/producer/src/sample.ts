// Looks at a few records here and there to choose the fields and to estimate what a document takes.
// Of Parquet and Arrow only metadata is read.

import { inspectObject, type ObjectInspection, parseTemplate } from '@reembed/corpus'
import {
  type CarriedColumn,
  type FieldMapping,
  ID_FIELDS,
  type SourceObject,
  TEXT_FIELDS,
} from '@reembed/protocol'
import { mapConcurrent } from '@reembed/shared'
import { carriedColumns, chooseField, requireField, requireRecords } from './choose-fields.ts'
import type { Corpus } from './corpus.ts'
import type { Survey } from './survey.ts'

/** What a few records tell about the corpus. All but `fields` and `carry` is an estimate. */
export interface Sample {
  /** Null if the corpus holds only text and Markdown. */
  readonly fields: FieldMapping | null
  readonly carry: readonly CarriedColumn[]
  readonly documents: number
  /** Bytes of a line of JSONL or CSV, unpacked; 0 without any. */
  readonly bytesPerRecord: number
  readonly charsPerDocument: number
  /** Records looked at, and the bytes that were read for them. */
  readonly lines: number
  readonly bytesRead: number
}

export interface SampleOptions {
  /** Fields the user named; the others are chosen. */
  readonly fields?: Partial<FieldMapping> | undefined
  /** Makes the text instead of one field. */
  readonly template?: string | undefined
  /** Fields to carry: 'lang', or with a type of its own 'year:string'. */
  readonly carry?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
}

const PROBES = 8
const PROBE_BYTES = 64 * 1024

/**
 * Reads at most 8 times 64 KiB, unless records are longer than that. Nothing at all of text and
 * Markdown alone.
 */
export async function sampleCorpus(
  { store }: Corpus,
  survey: Survey,
  { fields: named = {}, template, carry = [], signal }: SampleOptions = {},
): Promise<Sample> {
  const probes: ObjectInspection[] = []
  const places = survey.sampledObjects.flatMap(object => inspectOffsets(object, survey.sampledObjects.length))
  const probed = mapConcurrent(
    places,
    ({ object, start }, signal) => inspectObject(store, object, { start, maxBytes: PROBE_BYTES, signal }),
    { concurrency: PROBES, signal },
  )
  for await (const one of probed) probes.push(one)

  const fields = probes.length > 0 ? chooseFields(probes, named, template) : null
  const lines = sum(probes, ({ recordCount }) => recordCount)
  const unpacked = probes.filter(({ recordBytes }) => recordBytes > 0)
  const bytesPerRecord = ratio(
    sum(unpacked, ({ recordBytes }) => recordBytes),
    sum(unpacked, ({ recordCount }) => recordCount),
  )
  const objectBytesPerRecord = ratio(
    sum(probes, ({ objectBytes }) => objectBytes),
    lines,
  )
  const recordBytes = survey.bytes - survey.wholeFileBytes
  const records = lines > 0 ? Math.max(1, Math.round(recordBytes / objectBytesPerRecord)) : 0
  const documents = records + survey.wholeFiles
  const chars = fields ? records * charsPerRecord(probes, fields.text) : 0
  return {
    fields,
    carry: fields ? carriedColumns(probes, carry) : [],
    documents,
    bytesPerRecord,
    charsPerDocument: ratio(chars + survey.wholeFileBytes, documents),
    lines,
    bytesRead: sum(probes, ({ bytesRead }) => bytesRead),
  }
}

/**
 * Where to look in an object: its start, and further in if it is plain JSONL, large, and there are
 * few of them.
 */
function inspectOffsets(object: SourceObject, objects: number): { object: SourceObject; start: number }[] {
  const isPlain = object.format === 'jsonl' && object.compression === undefined
  const count = isPlain && object.size > PROBES * PROBE_BYTES ? Math.floor(PROBES / objects) : 1
  const step = Math.floor(object.size / count)
  return Array.from({ length: count }, (_, i) => ({ object, start: i * step }))
}

function chooseFields(
  probes: readonly ObjectInspection[],
  named: Partial<FieldMapping>,
  template: string | undefined,
): FieldMapping {
  const seen = requireRecords(probes)
  const id = chooseField(seen, 'id', named.id, ID_FIELDS)
  if (template === undefined) return { id, text: chooseField(seen, 'text', named.text, TEXT_FIELDS) }
  const { fieldPaths } = parseTemplate(template)
  for (const name of fieldPaths) requireField(probes, name, 'fields.template')
  return { id, text: named.text ?? fieldPaths.at(-1) ?? '' }
}

function charsPerRecord(probes: readonly ObjectInspection[], path: string): number {
  let chars = 0
  let documents = 0
  for (const { records, fieldBytesOf, recordCount: counted } of probes) {
    if (fieldBytesOf) {
      chars += fieldBytesOf(path)
      documents += counted
    }
    for (const record of records) {
      const text = (record as Record<string, unknown>)[path]
      chars += typeof text === 'string' ? text.length : 0
      documents += 1
    }
  }
  return ratio(chars, documents)
}

const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b)

const sum = <T>(values: readonly T[], of: (value: T) => number): number =>
  values.reduce((total, value) => total + of(value), 0)
