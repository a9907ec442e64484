// Texts of a corpus as they are before they are cut: the beginnings of documents, spread over its
// objects.

import { readSlice } from '@reembed/corpus'
import { inspectObject, isRowFormat, isWholeFile } from '@reembed/formats'
import type { SlicePart, SourceObject } from '@reembed/protocol'
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
  const read = mapConcurrent(
    [...files.values(), ...found.sampledObjects],
    async object => {
      const part = await partOf(store, object, signal)
      const { records } = readSlice(store, { parts: [part] }, { fields, template, signal })
      const texts: string[] = []
      let room = CHARACTERS
      for await (const record of records) {
        if (record.kind === 'document') texts.push(record.text.slice(0, room))
        room -= texts.at(-1)?.length ?? 0
        if (texts.length === RECORDS || room <= 0) break
      }
      return texts
    },
    { concurrency: OBJECTS_AT_ONCE, signal },
  )
  return (await Array.fromAsync(read)).flat()
}

/** The object, or the first rows of a table. */
async function partOf(
  store: Store,
  object: SourceObject,
  signal: AbortSignal | undefined,
): Promise<SlicePart> {
  if (!isRowFormat(object.format)) return { ...object, start: 0, end: object.size }
  const { recordCount } = await inspectObject(store, object, { maxBytes: INSPECTED_BYTES, signal })
  return { ...object, start: 0, end: Math.min(recordCount, RECORDS), extent: recordCount }
}
