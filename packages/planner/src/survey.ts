// One pass over the listing of a corpus: counts the objects, computes the hash that identifies the
// snapshot, and picks the objects to sample.

import { createHash } from 'node:crypto'
import { isWholeFile, SUPPORTED_EXTENSIONS } from '@reembed/formats'
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
  /** Estimated for a corpus of which only a sample is open. */
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
  const spread = createEvenSampler<SourceObject>(SPREAD)
  const skipped = { count: 0, examples: [] as string[] }
  const all = createTally()
  // A README beside data describes them; in a folder of documents it is one of them. Only the end
  // of the listing tells.
  const withoutReadmes = createTally()
  const readmes = { count: 0, examples: [] as string[] }
  let kept: SourceObject[] | undefined = []
  let listed = 0

  for await (const object of corpus.objects({ onSkip: key => addExample(skipped, key), signal })) {
    listed += 1
    if (listed % REPORTED === 0) onListed(listed)
    all.add(object)
    if (isReadme(object)) addExample(readmes, object.key)
    else withoutReadmes.add(object)
    if (!isWholeFile(object.format) && object.size > 0) spread.add(object)
    if (kept && listed <= KEPT_OBJECTS) kept.push(object)
    else kept = undefined
  }
  const hasRecords = spread.values().length > 0
  const { objects, bytes, wholeFiles, wholeFileBytes, mixedIn, empty, largest, snapshotSha256 } = (
    hasRecords ? withoutReadmes : all
  ).result()
  const isRead = (object: SourceObject): boolean => !hasRecords || !isReadme(object)

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
    bytes: Math.round(bytes / (corpus.share ?? 1)),
    wholeFiles,
    wholeFileBytes,
    snapshotSha256,
    skipped: hasRecords ? joined(readmes, skipped) : skipped,
    mixedInFiles: hasRecords ? mixedIn : { count: 0, examples: [] },
    empty,
    largestFiles: largest,
    sampledObjects: spread.values(),
    relist: signal => kept?.filter(isRead) ?? filtered(corpus.objects({ signal }), isRead),
  }
}

const joined = (a: ObjectExamples, b: ObjectExamples): ObjectExamples => ({
  count: a.count + b.count,
  examples: [...a.examples, ...b.examples].slice(0, EXAMPLES),
})

/** A dataset card, a README or a licence. */
const isReadme = ({ key, format }: SourceObject): boolean =>
  isWholeFile(format) && /(^|\/)(readme|license|licence|dataset_card|changelog)(\.[a-z]+)?$/i.test(key)

async function* filtered(
  objects: AsyncIterable<SourceObject>,
  isRead: (object: SourceObject) => boolean,
): AsyncGenerator<SourceObject, void, undefined> {
  for await (const object of objects) if (isRead(object)) yield object
}

/** Counts objects and hashes their identity. */
function createTally() {
  const hash = createHash('sha256')
  const mixedIn = { count: 0, examples: [] as string[] }
  const empty = { count: 0, examples: [] as string[] }
  let largest: SourceObject[] = []
  let [objects, bytes, wholeFiles, wholeFileBytes] = [0, 0, 0, 0]
  return {
    add(object: SourceObject): void {
      const { key, etag, size, format, csv } = object
      hash.update(`${canonical([key, etag, size, format, ...(csv ? [csv] : [])])}\n`)
      objects += 1
      bytes += size
      if (size === 0) addExample(empty, key)
      if (!isWholeFile(format) || size === 0) return
      wholeFiles += 1
      wholeFileBytes += size
      addExample(mixedIn, key)
      if (largest.length < LARGEST || size > (largest.at(-1)?.size ?? 0))
        largest = [...largest, object].sort((a, b) => b.size - a.size).slice(0, LARGEST)
    },
    result: () => ({
      objects,
      bytes,
      wholeFiles,
      wholeFileBytes,
      mixedIn,
      empty,
      largest,
      snapshotSha256: hash.digest('hex'),
    }),
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
