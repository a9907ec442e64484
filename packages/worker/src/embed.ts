// Documents in, vectors out, in the same order. A window of documents is sorted by length, packed
// into requests, and every vector is decoded straight to its document's row. Windows overlap, so
// that the endpoint has work while the last requests of one window are under way; that overlap is
// also the bound on memory.

import {
  type Clock,
  createCanary,
  createTokenEstimator,
  type Endpoint,
  type Limiter,
  MAX_BYTES_PER_TOKEN,
  type ModelReference,
  pack,
  systemClock,
  type TokenEstimator,
} from '@reembed/endpoint'
import type { Document, Reject, SourceRecord } from '@reembed/protocol'
import { mapConcurrent } from '@reembed/shared'
import { createVectorMemory, type VectorMemory } from './embed/memory.ts'
import { type PreparedText, prepare } from './embed/prepare.ts'
import { createSender, type Sender } from './embed/send.ts'

export interface EmbeddedWindow {
  /** Those that have a vector, in source order. */
  readonly documents: readonly Document[]
  /** One row per document, `info.dimensions` floats each. */
  readonly vectors: Float32Array
  /** Those that have none, in source order, the source's own rejects among them. */
  readonly rejects: readonly Reject[]
  /** Counted by the server over all replies, or null where it does not say. */
  readonly tokens: number | null
  /** Texts cut here because they were longer than the server looks at. */
  readonly truncated: number
  /** Texts with lone surrogates. */
  readonly repaired: number
  /**
   * Documents that were not sent, because another of the window has the same text; they have its
   * vector.
   */
  readonly repeats: number
  /** Gives the memory of `vectors` back: from now on they are another window's. */
  release(): void
}

export interface EmbedOptions {
  readonly endpoint: Endpoint
  /** Shared by all that send to this endpoint. */
  readonly limiter: Limiter
  /** Vectors of the run's model that are known: every reply is held to them. */
  readonly reference?: ModelReference | undefined
  /** Put in front of every text. */
  readonly prompt?: string
  /** Where the vectors are held, shared by all jobs of a worker. */
  readonly memory?: VectorMemory | undefined
  readonly windowDocuments?: number
  readonly windowBytes?: number
  readonly maxUnavailableMs?: number
  /**
   * Told after each answered request how many texts it held: windows are too coarse to show
   * progress by.
   */
  readonly onAnswered?: ((texts: number) => void) | undefined
  readonly clock?: Clock
  readonly random?: () => number
  readonly signal?: AbortSignal | undefined
}

/** How many windows are under way at once. */
const WINDOWS = 2

/**
 * Embeds all documents of `records`. Every document comes out once, as a row or as a reject; the
 * order is kept. Holds at most three windows of text and two of vectors. Throws what no waiting,
 * splitting or rejecting can mend.
 */
export async function* embed(
  records: AsyncIterable<SourceRecord> | Iterable<SourceRecord>,
  options: EmbedOptions,
): AsyncGenerator<EmbeddedWindow, void, undefined> {
  const {
    endpoint,
    limiter,
    signal,
    maxUnavailableMs = 60_000,
    clock = systemClock,
    random = Math.random,
  } = options
  const canary = createCanary(endpoint, options.reference)
  const sender = createSender({ endpoint, canary, limiter, maxUnavailableMs, clock, random })
  const meter = createTokenEstimator(endpoint.info.maxInputLength)
  const { memory = createVectorMemory() } = options
  yield* mapConcurrent(
    windows(records, options),
    (window, stop) =>
      embedWindow(window, {
        dimensions: endpoint.info.dimensions,
        memory,
        meter,
        sender,
        onAnswered: options.onAnswered,
        signal: stop,
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
  readonly meter: TokenEstimator
  readonly sender: Sender
  readonly signal: AbortSignal
  readonly onAnswered: EmbedOptions['onAnswered']
}

async function embedWindow(
  { texts, rejects }: Window,
  { dimensions, memory, meter, sender, onAnswered, signal }: WindowContext,
): Promise<EmbeddedWindow> {
  const firsts = firstOfEach(texts)
  const different = texts.flatMap((text, row) => (firsts[row] === row ? [{ row, ...text }] : []))
  const packed = pack(
    different.map(({ text, bytes }) => ({ tokens: meter.estimate(text.length), bytes })),
    sender.limits,
  ).map(request => request.map(at => different[at]?.row ?? 0))
  // Behind the rows of the documents, one for the canary of each request.
  const vectors = memory.take((texts.length + packed.length) * dimensions)
  const refused = new Map<number, Reject>()
  let tokens: number | null = 0

  function reject(row: number, reason: Reject['reason'], message: string): void {
    const document = texts[row]?.document
    if (document) {
      refused.set(row, { kind: 'reject', id: document.id, reason, message, position: document.position })
    }
  }

  const requests = packed.map((rows, i) => ({
    rows,
    canaryRow: texts.length + i,
    texts: rows.map(row => texts[row]?.text ?? ''),
    vectors,
    onAnswered(sent: readonly string[], counted: number | null) {
      tokens = tokens === null || counted === null ? null : tokens + counted
      onAnswered?.(sent.length)
      if (counted !== null) meter.learn(sent.length, lengthOf(sent), counted)
    },
    reject,
  }))
  // The limiter says how many are under way; here all wait their turn, and the first failure ends
  // the others.
  for await (const _ of mapConcurrent(requests, sender.send, {
    concurrency: Math.max(1, requests.length),
    signal,
  }));

  for (const [row, first] of firsts.entries()) {
    if (first === row) continue
    const refusal = refused.get(first)
    if (refusal) reject(row, refusal.reason, refusal.message)
    else vectors.copyWithin(row * dimensions, first * dimensions, (first + 1) * dimensions)
  }
  const kept = texts.filter((_, row) => !refused.has(row))
  return {
    documents: kept.map(({ document }) => document),
    vectors: withoutRows(vectors.subarray(0, texts.length * dimensions), dimensions, refused),
    rejects: [...rejects, ...refused.values()].sort(bySource),
    tokens,
    truncated: kept.filter(({ truncated }) => truncated).length,
    repaired: kept.filter(({ repaired }) => repaired).length,
    repeats: firsts.filter((first, row) => first !== row && !refused.has(row)).length,
    release: () => memory.release(vectors),
  }
}

/**
 * For each text the first row with the same one. A Map of whole texts reads each of their
 * characters, as much as two microseconds for two thousand: most are told apart by their length and
 * both ends.
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

/** Characters at either end of a text. */
const END = 16

/** `vectors` with the rows that are not in `refused`, moved together in place. */
function withoutRows(
  vectors: Float32Array,
  dimensions: number,
  refused: ReadonlyMap<number, unknown>,
): Float32Array {
  if (refused.size === 0) return vectors
  let to = 0
  for (let row = 0; row * dimensions < vectors.length; row++) {
    if (refused.has(row)) continue
    vectors.copyWithin(to * dimensions, row * dimensions, (row + 1) * dimensions)
    to++
  }
  return vectors.subarray(0, to * dimensions)
}

const bySource = ({ position: a }: Reject, { position: b }: Reject): number =>
  a.part - b.part || a.offset - b.offset

const lengthOf = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + text.length, 0)
