// Merges embedded and reused rows of a slice in source order. Documents with a known vector bypass
// the embedder. If all are known, the embedder is never called, so an endpoint that is scaled to
// zero is not woken.
//
//   records   | a known | b | c known | d reject | e | f known |
//   embedder            | b |                    | e |
//   rows      | a       | b | c       |            e | f       |

import type { CarriedValue, Document, Reject, ShardLayout, SourceRecord } from '@reembed/protocol'
import type { JobStop } from '@reembed/queue'
import { contentHashOf, encodeHashes, extraValues, type ReuseIndex } from '@reembed/shard'
import type { JobTimer } from './activity.ts'
import { NOTHING_TRUNCATED, type Truncation } from './embed/text-meter.ts'
import type { EmbeddedWindow } from './embed.ts'
import type { JobTexts } from './repeated-texts.ts'

export interface RowBatch {
  readonly ids: readonly string[]
  readonly hashes: Uint8Array
  readonly vectors: Float32Array
  readonly extra: readonly (readonly CarriedValue[])[]
  readonly rejects: readonly Reject[]
  /** Rows with a reused vector. */
  readonly reused: number
  readonly tokens: number | null
  /** Of the embedded rows; those with a reused vector are reported to `onReused`. */
  readonly truncation: Truncation
  readonly repaired: number
  /** Documents without a row and without a reject, because the job had to stop. */
  readonly omitted: number
  /** Must be called when the vectors are written: their memory is reused. */
  onWritten(): void
}

export interface MergeRowsOptions {
  readonly reuseIndex: ReuseIndex | undefined
  /** Vectors of texts that the run embedded before. */
  readonly repeated: JobTexts
  /** Longer texts are not kept in `repeated`, in UTF-8 bytes. */
  readonly maxRepeatedBytes: number
  readonly layout: ShardLayout | undefined
  readonly dimensions: number
  /** Embeds documents without a known vector. */
  readonly embed: (records: AsyncIterable<SourceRecord>) => AsyncIterable<EmbeddedWindow>
  /** Converts vectors of the endpoint to those of the run. */
  readonly truncateVectors: (vectors: Float32Array) => Float32Array
  /** Called with documents that have a known vector. */
  readonly onReused?: ((documents: readonly Document[]) => void) | undefined
  readonly stop?: JobStop | undefined
  /** Measures how long documents are awaited. */
  readonly timer?: JobTimer | undefined
  readonly signal?: AbortSignal | undefined
}

interface Entry {
  readonly document: Document
  readonly hash: string
  /** Undefined for documents that the embedder gets. */
  readonly vector: Float32Array | undefined
  /** Whether `repeated` keeps the text. */
  readonly isShort: boolean
}

/** Records per lookup: the size of the embedder's window. */
const LOOK_UP_RECORDS = 1_024
const LOOK_UP_CHARACTERS = 8 * 1024 * 1024
const MAX_WAITING = 8 * LOOK_UP_RECORDS

const isShort = (text: string, maxBytes: number): boolean =>
  text.length <= maxBytes && Buffer.byteLength(text) <= maxBytes

/** Holds the windows of `embed`, and reused rows that wait for an embedded row before them. */
export async function* mergeRows(
  records: AsyncIterable<SourceRecord>,
  { reuseIndex, repeated, maxRepeatedBytes, ...options }: MergeRowsOptions,
): AsyncGenerator<RowBatch, void, undefined> {
  const { layout, dimensions, embed, truncateVectors, onReused, stop, timer, signal } = options
  const waiting = createQueue()
  let rejects: Reject[] = []
  /** Documents that were read when the job had to stop, and dropped. */
  let unread = 0

  async function* unknown(): AsyncGenerator<Document, void, undefined> {
    for await (const batch of batches(records, timer)) {
      if (stop?.begun.aborted) {
        unread = batch.length
        return
      }
      const documents = batch.filter(record => record.kind === 'document')
      rejects.push(...batch.filter(record => record.kind === 'reject'))
      const hashes = documents.map(({ text }) => contentHashOf(text))
      const found = (await reuseIndex?.findVectors(hashes, { signal })) ?? []
      const short = documents.map(({ text }) => isShort(text, maxRepeatedBytes))
      // Rows wait until the embedder has filled a window. A corpus of few texts fills none, so its
      // repetitions are embedded again before too many rows wait.
      if (waiting.length < MAX_WAITING)
        for (const [i, hash] of hashes.entries()) if (short[i]) found[i] ??= repeated.find(hash)
      onReused?.(documents.filter((_, i) => found[i] !== undefined))
      for (const [i, document] of documents.entries()) {
        const vector = found[i]
        const hash = hashes[i] ?? contentHashOf(document.text)
        // The text of a known document is dropped to save memory, unless the shard stores it.
        const held = vector === undefined || layout?.text ? document : { ...document, text: '' }
        waiting.push({ document: held, hash, vector, isShort: short[i] ?? false })
        if (vector === undefined) yield document
      }
    }
  }

  function keep(entries: readonly Entry[], made: Float32Array): void {
    let row = 0
    for (const { hash, vector, isShort } of entries) {
      if (vector !== undefined) continue
      if (isShort) repeated.add(hash, made.subarray(row * dimensions, (row + 1) * dimensions))
      row += 1
    }
  }

  /** The rows of `entries`, with the vectors in `made` for those without a known one. */
  function windowOf(entries: readonly Entry[], made: Float32Array, paid: EmbeddedPart): RowBatch {
    const documents = entries.map(({ document }) => document)
    const reused = entries.filter(({ vector }) => vector !== undefined).length
    keep(entries, made)
    const gathered = rejects
    rejects = []
    const vectors = reused === 0 ? made : merged(entries, made, dimensions)
    if (vectors !== made) paid.release()
    return {
      ids: documents.map(({ id }) => id),
      hashes: encodeHashes(entries.map(({ hash }) => hash)),
      vectors,
      extra: extraValues(documents, layout),
      rejects: [...gathered, ...paid.rejects],
      reused: reused + paid.repeats,
      tokens: paid.tokens,
      truncation: paid.truncation,
      repaired: paid.repaired,
      omitted: paid.omitted,
      onWritten: vectors === made ? paid.release : () => {},
    }
  }

  const sent = unknown()
  try {
    // `embed` opens the endpoint, so it starts only when a document needs it.
    const first = reuseIndex && (await sent.next())
    if (!first?.done) {
      for await (const window of embed(first === undefined ? sent : continued(first.value, sent))) {
        const entries = waiting.settle(window)
        yield windowOf(entries, truncateVectors(window.vectors), window)
      }
    }
    const rest = windowOf(waiting.rest(), new Float32Array(0), NOTHING_EMBEDDED)
    yield { ...rest, omitted: unread }
  } finally {
    await sent.return()
  }
}

type EmbeddedPart = Pick<
  EmbeddedWindow,
  'rejects' | 'repeats' | 'tokens' | 'truncation' | 'repaired' | 'omitted' | 'release'
>

const NOTHING_EMBEDDED: EmbeddedPart = {
  rejects: [],
  repeats: 0,
  tokens: 0,
  truncation: NOTHING_TRUNCATED,
  repaired: 0,
  omitted: 0,
  release: () => {},
}

/** Documents in source order that wait for their vector or rejection. */
function createQueue() {
  let entries: Entry[] = []
  return {
    get length() {
      return entries.length
    },
    push: (entry: Entry): void => void entries.push(entry),
    /**
     * Removes and returns the entries up to the last document of the window, without its rejects
     * and the omitted ones.
     */
    settle({ documents, rejects, omitted }: EmbeddedWindow): Entry[] {
      let given = documents.length + rejects.length + omitted
      let next = 0
      const rows: Entry[] = []
      let at = 0
      for (let entry = entries[at]; entry !== undefined && given > 0; entry = entries[++at]) {
        if (entry.vector === undefined) given -= 1
        if (entry.vector !== undefined) rows.push(entry)
        else if (entry.document === documents[next]) {
          rows.push(entry)
          next += 1
        }
      }
      entries = entries.slice(at)
      return rows
    },
    rest(): Entry[] {
      const left = entries
      entries = []
      return left
    },
  }
}

function merged(entries: readonly Entry[], made: Float32Array, dimensions: number): Float32Array {
  const vectors = new Float32Array(entries.length * dimensions)
  let from = 0
  for (const [row, { vector }] of entries.entries()) {
    vectors.set(vector ?? made.subarray(from, from + dimensions), row * dimensions)
    if (vector === undefined) from += dimensions
  }
  return vectors
}

async function* batches(
  records: AsyncIterable<SourceRecord>,
  timer: JobTimer | undefined,
): AsyncGenerator<SourceRecord[], void, undefined> {
  let batch: SourceRecord[] = []
  let characters = 0
  // One measurement for a batch: a measurement for each record would cost more than many records.
  let reading = timer?.enter('source')
  try {
    for await (const record of records) {
      batch.push(record)
      if (record.kind === 'document') characters += record.text.length
      if (batch.length < LOOK_UP_RECORDS && characters < LOOK_UP_CHARACTERS) continue
      reading?.[Symbol.dispose]()
      yield batch
      reading = timer?.enter('source')
      batch = []
      characters = 0
    }
  } finally {
    reading?.[Symbol.dispose]()
  }
  if (batch.length > 0) yield batch
}

async function* continued<T>(first: T, rest: AsyncGenerator<T>): AsyncGenerator<T, void, undefined> {
  yield first
  yield* rest
}
