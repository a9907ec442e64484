// Embeds documents in source order. A window of documents is sorted by length and packed into
// requests, and each vector is decoded into its document's row. Windows overlap, so that the
// endpoint has work during the last requests of a window; the number of overlapping windows bounds
// the memory.

import {
  createCanary,
  createRequestSizes,
  createTokenEstimator,
  type Endpoint,
  MAX_BYTES_PER_TOKEN,
  pack,
  type RequestSizes,
  type TokenEstimator,
} from '@reembed/endpoint'
import type { Limiter } from '@reembed/limiter'
import type { Document, ModelReference, Reject, RejectRow, SourceRecord } from '@reembed/protocol'
import type { JobStop } from '@reembed/queue'
import { type Clock, mapConcurrent, systemClock } from '@reembed/shared'
import type { JobTimer } from './activity.ts'
import { createVectorMemory, type VectorMemory } from './embed/memory.ts'
import { type PreparedText, prepare } from './embed/prepare.ts'
import { createSender, type Sender } from './embed/send.ts'
import { createSuspects, type Suspects } from './embed/suspects.ts'
import {
  createTextMeter,
  type StatedTokens,
  type TextMeter,
  type TextTokens,
  type Truncation,
  truncationOf,
} from './embed/text-meter.ts'

export interface EmbeddedWindow {
  /** Documents with a vector, in source order. Those that were omitted are not among them. */
  readonly documents: readonly Document[]
  /** One row per document, `info.dimensions` floats each. */
  readonly vectors: Float32Array
  /** Documents without a vector, in source order, those rejected by the source included. */
  readonly rejects: readonly Reject[]
  /** Sum of the server's counts, or null where a reply states none. */
  readonly tokens: number | null
  /** The texts over the model's limit. */
  readonly truncation: Truncation
  /** Texts with lone surrogates. */
  readonly repaired: number
  /**
   * Documents that were not sent because another one of the window has the same text, whose vector
   * they get.
   */
  readonly repeats: number
  /** Documents that were not sent, or not answered, because the job had to stop. */
  readonly omitted: number
  /** Returns the memory of `vectors`, which another window reuses. */
  release(): void
}

export interface EmbedOptions {
  readonly endpoint: Endpoint
  /** Shared by all jobs that send to this endpoint. */
  readonly limiter: Limiter
  /** Reference vectors of the run's model, for the canaries of the replies. */
  readonly reference?: ModelReference | undefined
  /** Prepended to each text. */
  readonly prompt?: string
  /** Whether the vectors are stored as float16, without a computation that needs more. */
  readonly halfPrecision?: boolean | undefined
  /** Measures the whole texts; one of its own if not given. */
  readonly meter?: TextMeter | undefined
  /** Memory of the vectors, shared by all jobs of a worker. */
  readonly memory?: VectorMemory | undefined
  /** Texts that earlier requests of this worker failed with, shared by its jobs. */
  readonly suspects?: Suspects | undefined
  /** What was learned of the endpoint's limits, shared by all jobs of a worker. */
  readonly sizes?: RequestSizes | undefined
  readonly windowDocuments?: number
  readonly windowBytes?: number
  readonly maxUnavailableMs?: number
  readonly stop?: JobStop | undefined
  /** Measures how long windows wait for the endpoint. */
  readonly timer?: JobTimer | undefined
  /**
   * Called after each answered request with its number of texts: windows are too coarse for
   * progress.
   */
  readonly onAnswered?: ((texts: number) => void) | undefined
  readonly clock?: Clock
  readonly random?: () => number
  readonly signal?: AbortSignal | undefined
}

/** Concurrent windows. */
const WINDOWS = 2

/**
 * Embeds all documents of `records`. Each document is yielded once, as a row or as a reject, in
 * source order. Holds at most three windows of text and two of vectors. @throws ReembedError when
 * the endpoint is at fault and retries, splits and rejects do not help
 */
export async function* embed(
  records: AsyncIterable<SourceRecord> | Iterable<SourceRecord>,
  options: EmbedOptions,
): AsyncGenerator<EmbeddedWindow, void, undefined> {
  const {
    endpoint,
    limiter,
    signal,
    suspects = createSuspects(),
    sizes = createRequestSizes(),
    stop,
    maxUnavailableMs = 60_000,
    clock = systemClock,
    random = Math.random,
  } = options
  const canary = createCanary(endpoint, options.reference, random)
  const { halfPrecision } = options
  const waiting = { suspects, sizes, maxUnavailableMs, stop, clock, random }
  const sender = createSender({ endpoint, canary, limiter, halfPrecision, ...waiting })
  const { maxInputLength } = endpoint.info
  const { meter = createTextMeter(maxInputLength) } = options
  const estimator = createTokenEstimator(maxInputLength)
  const { memory = createVectorMemory() } = options
  yield* mapConcurrent(
    windows(records, options),
    (window, aborted) =>
      embedWindow(window, {
        dimensions: endpoint.info.dimensions,
        memory,
        meter,
        estimator,
        sender,
        onAnswered: options.onAnswered,
        timer: options.timer,
        signal: aborted,
      }),
    { concurrency: WINDOWS, signal },
  )
}

interface Window {
  readonly texts: readonly PreparedText[]
  readonly rejects: readonly Reject[]
}

async function* windows(
  records: AsyncIterable<SourceRecord> | Iterable<SourceRecord>,
  { endpoint, prompt = '', windowDocuments = 1024, windowBytes = 8 * 1024 * 1024 }: EmbedOptions,
): AsyncGenerator<Window, void, undefined> {
  const { maxInputLength } = endpoint.info
  const maxTextBytes = maxInputLength === null ? null : maxInputLength * MAX_BYTES_PER_TOKEN
  let texts: PreparedText[] = []
  let rejects: Reject[] = []
  let bytes = 0
  for await (const record of records) {
    const ready = record.kind === 'document' ? prepare(record, { prompt, maxTextBytes }) : record
    if ('text' in ready) {
      texts.push(ready)
      bytes += ready.bytes
    } else {
      rejects.push(ready)
    }
    if (texts.length + rejects.length >= windowDocuments || bytes >= windowBytes) {
      yield { texts, rejects }
      texts = []
      rejects = []
      bytes = 0
    }
  }
  if (texts.length + rejects.length > 0) yield { texts, rejects }
}

interface WindowContext {
  readonly dimensions: number
  readonly memory: VectorMemory
  readonly meter: TextMeter
  /** Tokens that the model reads of a text, to pack requests. */
  readonly estimator: TokenEstimator
  readonly sender: Sender
  readonly signal: AbortSignal
  readonly onAnswered: EmbedOptions['onAnswered']
  readonly timer: JobTimer | undefined
}

async function embedWindow(
  { texts, rejects }: Window,
  { dimensions, memory, meter, estimator, sender, onAnswered, timer, signal }: WindowContext,
): Promise<EmbeddedWindow> {
  const firsts = firstOfEach(texts)
  const different = texts.flatMap((text, row) => (firsts[row] === row ? [{ row, ...text }] : []))
  const estimated = different.map(({ text, bytes }) => ({ tokens: estimator.estimate(text.length), bytes }))
  const packed = pack(estimated, sender.limits).map(request => ({
    rows: request.map(at => different[at]?.row ?? 0),
    tokens: request.map(at => estimated[at]?.tokens ?? 0),
  }))
  // One row per document, then one row for the canary of each request.
  const vectors = memory.take((texts.length + packed.length) * dimensions)
  const refused = new Map<number, Reject>()
  const measured = new Map<number, TextTokens>()
  const omitted = new Set<number>()
  let read: number | null = 0

  function reject(row: number, reason: Reject['reason'], message: string): void {
    const document = texts[row]?.document
    if (document) {
      refused.set(row, { kind: 'reject', id: document.id, reason, message, position: document.position })
    }
  }

  const requests = packed.map(({ rows, tokens }, i) => ({
    rows,
    tokens,
    canaryRow: texts.length + i,
    texts: rows.map(row => texts[row]?.text ?? ''),
    vectors,
    onAnswered(sent: readonly string[], rows: readonly number[], stated: StatedTokens) {
      read = read === null || stated.read === null ? null : read + stated.read
      onAnswered?.(sent.length)
      if (stated.read !== null) estimator.learn(sent.length, lengthOf(sent), stated.read)
      const lengths = rows.map((row, i) => {
        const { length } = sent[i] ?? ''
        return { sent: length, characters: texts[row]?.characters ?? length }
      })
      for (const [i, found] of meter.measure(lengths, stated).entries()) measured.set(rows[i] ?? 0, found)
    },
    reject,
    omit(rows: readonly number[]) {
      for (const row of rows) omitted.add(row)
    },
  }))
  // All requests start here; the limiter bounds those in flight, and the first failure aborts the
  // others.
  const sending = ended(
    mapConcurrent(requests, sender.send, { concurrency: Math.max(1, requests.length), signal }),
  )
  await (timer?.during('endpoint', sending) ?? sending)

  for (const [row, first] of firsts.entries()) {
    if (first === row) continue
    const refusal = refused.get(first)
    if (omitted.has(first)) omitted.add(row)
    else if (refusal) reject(row, refusal.reason, refusal.message)
    else vectors.copyWithin(row * dimensions, first * dimensions, (first + 1) * dimensions)
  }
  const isLeftOut = (row: number): boolean => refused.has(row) || omitted.has(row)
  const rows = texts
    .keys()
    .filter(row => !isLeftOut(row))
    .toArray()
  const kept = rows.flatMap(row => texts[row] ?? [])
  return {
    documents: kept.map(({ document }) => document),
    vectors: withoutRows(
      vectors.subarray(0, texts.length * dimensions),
      dimensions,
      isLeftOut,
      refused.size + omitted.size,
    ),
    rejects: [...rejects, ...refused.values()].sort(bySource),
    tokens: read,
    truncation: truncationOf(
      rows.flatMap(row => measured.get(firsts[row] ?? row) ?? []),
      meter.limit,
    ),
    repaired: kept.filter(({ repaired }) => repaired).length,
    repeats: firsts.filter((first, row) => first !== row && !isLeftOut(row)).length,
    omitted: omitted.size,
    release: () => memory.release(vectors),
  }
}

async function ended(steps: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of steps);
}

/**
 * Returns for each text the first row with an equal text. A Map of whole texts hashes each
 * character, about 2 µs per 2,000 characters, so texts are first compared by length and both ends.
 */
function firstOfEach(texts: readonly PreparedText[]): number[] {
  const ends = texts.map(({ text }) => `${text.length} ${text.slice(0, END)}${text.slice(-END)}`)
  const seen = new Set<string>()
  const shared = new Set<string>()
  for (const end of ends) (seen.has(end) ? shared : seen).add(end)
  const rows = new Map<string, number>()
  return texts.map(({ text }, row) => {
    if (!shared.has(ends[row] ?? '')) return row
    const first = rows.get(text)
    if (first === undefined) rows.set(text, row)
    return first ?? row
  })
}

/** Characters compared at each end of a text. */
const END = 16

/** Removes `count` rows by moving the others together in place. */
function withoutRows(
  vectors: Float32Array,
  dimensions: number,
  isLeftOut: (row: number) => boolean,
  count: number,
): Float32Array {
  if (count === 0) return vectors
  let to = 0
  for (let row = 0; row * dimensions < vectors.length; row++) {
    if (isLeftOut(row)) continue
    vectors.copyWithin(to * dimensions, row * dimensions, (row + 1) * dimensions)
    to++
  }
  return vectors.subarray(0, to * dimensions)
}

/** Compares two rejects by their place in the corpus. */
export const bySource = ({ position: a }: RejectRow, { position: b }: RejectRow): number =>
  a.part - b.part || a.offset - b.offset

const lengthOf = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + text.length, 0)
