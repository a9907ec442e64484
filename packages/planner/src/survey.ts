// One pass over the listing of a corpus: counts the objects, computes the hash that identifies the
// snapshot, and picks the objects to sample.

import { createHash } from 'node:crypto'
import { isWholeFile, SUPPORTED_EXTENSIONS } from '@reembed/corpus'
import type { SourceObject } from '@reembed/protocol'
import { canonical, ReembedError } from '@reembed/shared'
import type { Corpus } from './corpus.ts'

/** Objects to report to the user: their number, with examples. */
export interface ObjectExamples {
  readonly count: number
  /** The first few keys. */
  readonly examples: readonly string[]
}

export interface Survey {
  readonly objects: number
  readonly bytes: number
  /** Objects of text and Markdown, one document each. Empty ones are not counted. */
  readonly wholeFiles: number
  readonly wholeFileBytes: number
  /** SHA-256 over key, etag, size and format of each object, in key order. */
  readonly snapshotSha256: string
  /** Objects that are listed but not read, because their extension is unknown. */
  readonly skipped: ObjectExamples
  /**
   * Text and Markdown objects in a corpus that also has objects of records: usually a README, not a
   * document. Empty for a corpus of text alone.
   */
  readonly mixedInFiles: ObjectExamples
  /** Objects without a byte: they hold no document. */
  readonly empty: ObjectExamples
  /** The largest objects of text and Markdown, the largest first. */
  readonly largestFiles: readonly SourceObject[]
  /** Objects of records, spread evenly over the listing. */
  readonly sampledObjects: readonly SourceObject[]
  /** Lists the objects again: from memory up to 100,000 objects, else from the store. */
  relist(signal?: AbortSignal): Iterable<SourceObject> | AsyncIterable<SourceObject>
}

/** Maximum number of objects in memory, some 30 MB; a longer listing is read again. */
const KEPT_OBJECTS = 100_000
const SPREAD = 8
const EXAMPLES = 5
const LARGEST = 8
/** Objects between two reports of progress. */
const REPORTED = 1_000

/**
 * Reads the listing of a corpus once.
 * @param onListed called with the number of objects now and then
 * @throws ReembedError SOURCE_EMPTY or SOURCE_FORMAT for a corpus without anything to embed
 */
export async function survey(
  corpus: Corpus,
  signal?: AbortSignal,
  onListed: (objects: number) => void = () => {},
): Promise<Survey> {
  const hash = createHash('sha256')
  const spread = createEvenSampler<SourceObject>(SPREAD)
  const skipped = { count: 0, examples: [] as string[] }
  const mixedIn = { count: 0, examples: [] as string[] }
  let kept: SourceObject[] | undefined = []
  let largest: SourceObject[] = []
  const empty = { count: 0, examples: [] as string[] }
  let [objects, bytes, wholeFiles, wholeFileBytes] = [0, 0, 0, 0]

  for await (const object of corpus.objects({ onSkip: key => addExample(skipped, key), signal })) {
    const { key, etag, size, format } = object
    hash.update(`${canonical([key, etag, size, format])}\n`)
    objects += 1
    if (objects % REPORTED === 0) onListed(objects)
    bytes += size
    if (isWholeFile(format) && size > 0) {
      wholeFiles += 1
      wholeFileBytes += size
      addExample(mixedIn, key)
      if (largest.length < LARGEST || size > (largest.at(-1)?.size ?? 0))
        largest = [...largest, object].sort((a, b) => b.size - a.size).slice(0, LARGEST)
    } else if (size > 0) {
      spread.add(object)
    } else {
      addExample(empty, key)
    }
    if (kept && objects <= KEPT_OBJECTS) kept.push(object)
    else kept = undefined
  }

  const { url } = corpus.store
  if (objects === 0 && skipped.count > 0) {
    const names = skipped.examples.map(key => JSON.stringify(key)).join(', ')
    throw new ReembedError(
      'SOURCE_FORMAT',
      `None of the ${skipped.count} objects in ${url} has an extension that can be read (${SUPPORTED_EXTENSIONS}): ` +
        `found ${names}. If they all have one format, specify it`,
      { option: 'format' },
    )
  }
  if (bytes === 0) {
    const found = objects === 0 ? 'no objects' : `only empty objects (${objects})`
    throw new ReembedError('SOURCE_EMPTY', `There is nothing to embed: ${url} holds ${found}`)
  }
  return {
    objects,
    bytes,
    wholeFiles,
    wholeFileBytes,
    snapshotSha256: hash.digest('hex'),
    skipped,
    mixedInFiles: spread.values().length > 0 ? mixedIn : { count: 0, examples: [] },
    empty,
    largestFiles: largest,
    sampledObjects: spread.values(),
    relist: signal => kept ?? corpus.objects({ signal }),
  }
}

function addExample(named: { count: number; examples: string[] }, key: string): void {
  named.count += 1
  if (named.examples.length < EXAMPLES) named.examples.push(key)
}

/**
 * Picks at most `count` values, spread evenly over a stream of unknown length. Deterministic. Holds
 * at most `2 * count` values.
 */
export function createEvenSampler<T>(count: number): { add(value: T): void; values(): T[] } {
  let held: T[] = []
  let stride = 1
  let seen = 0
  return {
    add(value) {
      if (seen % stride === 0) held.push(value)
      seen += 1
      if (held.length < count * 2) return
      held = held.filter((_, i) => i % 2 === 0)
      stride *= 2
    },
    values() {
      const picked = Math.min(count, held.length)
      return held.filter(
        (_, i) => Math.floor((i * picked) / held.length) > Math.floor(((i - 1) * picked) / held.length),
      )
    },
  }
}
