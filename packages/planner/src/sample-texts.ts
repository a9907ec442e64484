// Texts of a corpus as they are before they are cut: the beginnings of documents, spread over its
// objects.

import { createMapper, readSlice } from '@reembed/corpus'
import { inspectObject, isRowFormat, isWholeFile } from '@reembed/formats'
import type { FieldMapping, SourceObject, SourceRecord } from '@reembed/protocol'
import { mapConcurrent } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { InspectedCorpus } from './inspect-corpus.ts'
import { createEvenSampler } from './survey.ts'

const FILES = 32
const RECORDS = 64
const CHARACTERS = 16 * 1024
const INSPECTED_BYTES = 64 * 1024
const OBJECTS_AT_ONCE = 4

/** At most 16 K characters of each of about 40 objects; the same corpus gives the same texts. */
export async function sampleTexts(
  store: Store,
  { found, sample: { fields } }: InspectedCorpus,
  { template, signal }: { readonly template?: string | undefined; readonly signal?: AbortSignal | undefined },
): Promise<string[]> {
  const files = createEvenSampler<SourceObject>(FILES)
  for await (const object of found.relist(signal)) {
    if (isWholeFile(object.format) && object.size > 0) files.add(object)
  }
  const mapping = { fields, template, signal }
  const texts = mapConcurrent(
    [...files.values(), ...found.sampledObjects],
    async object => {
      const texts: string[] = []
      let [read, room] = [0, CHARACTERS]
      for await (const record of recordsOf(store, object, mapping)) {
        read += 1
        if (record.kind === 'document') {
          const text = beginningOf(record.text, room)
          texts.push(text)
          room -= text.length
        }
        if (read === RECORDS || room <= 0) break
      }
      return texts
    },
    { concurrency: OBJECTS_AT_ONCE, signal },
  )
  return (await Array.fromAsync(texts)).flat()
}

/** A copy: a slice of a string keeps all of it in memory, which is up to the largest document. */
const beginningOf = (text: string, characters: number): string =>
  Buffer.from(text.slice(0, characters), 'utf16le').toString('utf16le')

interface SampleMapping {
  /** Null for a corpus of files that are one document each. */
  readonly fields: FieldMapping | null
  readonly template: string | undefined
  readonly signal: AbortSignal | undefined
}

/** The first records of an object. A table is not indexed for them. */
async function* recordsOf(
  store: Store,
  object: SourceObject,
  { fields, template, signal }: SampleMapping,
): AsyncGenerator<SourceRecord, void, undefined> {
  if (isWholeFile(object.format)) {
    const whole = { ...object, start: 0, end: object.size }
    yield* readSlice(store, { parts: [whole] }, { fields, signal }).records
    return
  }
  if (fields === null) return
  const { records, recordCount } = await inspectObject(store, object, { maxBytes: INSPECTED_BYTES, signal })
  if (isRowFormat(object.format)) {
    const rows = { ...object, start: 0, end: Math.min(recordCount, RECORDS), extent: recordCount }
    yield* readSlice(store, { parts: [rows] }, { fields, template, signal }).records
    return
  }
  const mapper = createMapper({ fields, template })
  for (const record of records) yield mapper.map(record, { part: 0, offset: 0 })
}
