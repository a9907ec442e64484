// Reads a few lines here and there to choose the id and text fields and to estimate what a document takes.

import {
  type FieldMapping,
  ID_FIELDS,
  mapConcurrent,
  type Probe,
  probeJsonl,
  ReembedError,
  type SourceObject,
  TEXT_FIELDS,
} from '@reembed/shared'
import type { Corpus } from './corpus.ts'
import type { Survey } from './survey.ts'

/** What a few lines tell about the corpus. All but `fields` is an estimate. */
export interface Sample {
  /** Null if the corpus holds no JSONL. */
  readonly fields: FieldMapping | null
  readonly documents: number
  /** Bytes of a JSONL line; 0 without JSONL. */
  readonly bytesPerRecord: number
  readonly charsPerDocument: number
  /** Lines looked at, and the bytes that were read for them. */
  readonly lines: number
  readonly bytesRead: number
}

export interface SampleOptions {
  /** Fields the user named; the others are chosen. */
  readonly fields?: Partial<FieldMapping> | undefined
  readonly signal?: AbortSignal | undefined
}

const PROBES = 8
const PROBE_BYTES = 64 * 1024

/** Reads at most 8 times 64 KiB, unless lines are longer than that. Nothing at all without JSONL. */
export async function sampleCorpus(
  { store }: Corpus,
  survey: Survey,
  { fields: named = {}, signal }: SampleOptions = {},
): Promise<Sample> {
  const probes: Probe[] = []
  const places = survey.spread.flatMap(object => placesIn(object, survey.spread.length))
  const probed = mapConcurrent(
    places,
    ({ object, start }, signal) => probeJsonl(store, object, { start, maxBytes: PROBE_BYTES, signal }),
    { limit: PROBES, signal },
  )
  for await (const probe of probed) probes.push(probe)

  const lines = sum(probes, probe => probe.lines)
  const fields = probes.length > 0 ? chooseFields(probes, named) : null
  const bytesPerRecord = lines > 0 ? sum(probes, probe => probe.bytes) / lines : 0
  const jsonlBytes = survey.bytes - survey.wholeFileBytes
  const records = lines > 0 ? Math.max(1, Math.round(jsonlBytes / bytesPerRecord)) : 0
  const documents = records + survey.wholeFiles
  const chars = fields ? records * charsPerRecord(probes, fields.text) : 0
  return {
    fields,
    documents,
    bytesPerRecord,
    charsPerDocument: (chars + survey.wholeFileBytes) / documents,
    lines,
    bytesRead: sum(probes, probe => probe.bytesRead),
  }
}

/** Where to look in an object: its start, and further in if the object is large and there are few of them. */
function placesIn(object: SourceObject, objects: number): { object: SourceObject; start: number }[] {
  const count = object.size > PROBES * PROBE_BYTES ? Math.floor(PROBES / objects) : 1
  const step = Math.floor(object.size / count)
  return Array.from({ length: count }, (_, i) => ({ object, start: i * step }))
}

function chooseFields(probes: readonly Probe[], named: Partial<FieldMapping>): FieldMapping {
  const seen = fieldsSeen(probes)
  if (seen.size === 0) {
    const bad = probes.find(probe => probe.fault !== undefined) ?? probes[0]
    throw new ReembedError(
      'SOURCE_FORMAT',
      `${JSON.stringify(bad?.key)} does not look like JSONL: ${bad?.fault ?? 'no line in its first bytes is a record'}`,
    )
  }
  return {
    id: chooseField(seen, 'id', named.id, ID_FIELDS),
    text: chooseField(seen, 'text', named.text, TEXT_FIELDS),
  }
}

/** The field names of each object in which a record was seen. */
function fieldsSeen(probes: readonly Probe[]): Map<string, Set<string>> {
  const seen = new Map<string, Set<string>>()
  for (const { key, records } of probes) {
    if (records.length === 0) continue
    const names = seen.get(key) ?? new Set()
    for (const record of records) for (const name of Object.keys(record)) names.add(name)
    seen.set(key, names)
  }
  return seen
}

/** The field that every sampled object has: the one that was named, else the first of the usual names. */
function chooseField(
  seen: ReadonlyMap<string, ReadonlySet<string>>,
  role: keyof FieldMapping,
  named: string | undefined,
  usual: readonly string[],
): string {
  const candidates = named === undefined ? usual : [named]
  const chosen = candidates.find(name => [...seen.values()].every(names => names.has(name)))
  if (chosen !== undefined) return chosen

  const option = `--${role}`
  const lacking = [...seen].find(([, names]) => !candidates.some(name => names.has(name)))
  if (lacking) {
    const [key, names] = lacking
    const wanted =
      named === undefined
        ? `${role} field (looked for ${usual.join(', ')})`
        : `field ${JSON.stringify(named)}`
    const remedy = named === undefined ? `Name the field with ${option}` : `Check ${option}`
    throw new ReembedError(
      'FIELD_MISSING',
      `${JSON.stringify(key)} has no ${wanted}; its fields are ${listOf(names)}. ${remedy}`,
    )
  }
  const each = [...seen].map(
    ([key, names]) => `${JSON.stringify(key)}: ${candidates.find(name => names.has(name))}`,
  )
  throw new ReembedError(
    'FIELD_MISSING',
    `The objects do not share one ${role} field (${each.slice(0, 3).join('; ')}). Embed them in runs of their own`,
  )
}

/** Field names come from the corpus: printed as JSON strings, cut short, and not more than a dozen. */
function listOf(names: ReadonlySet<string>): string {
  const shown = [...names].slice(0, 12).map(name => JSON.stringify(name.slice(0, 40)))
  return `${shown.join(', ')}${names.size > shown.length ? ` and ${names.size - shown.length} more` : ''}`
}

function charsPerRecord(probes: readonly Probe[], field: string): number {
  const records = probes.flatMap(probe => probe.records)
  const texts = records.map(record => record[field as keyof typeof record] as unknown)
  return sum(texts, text => (typeof text === 'string' ? text.length : 0)) / records.length
}

const sum = <T>(values: readonly T[], of: (value: T) => number): number =>
  values.reduce((total, value) => total + of(value), 0)
