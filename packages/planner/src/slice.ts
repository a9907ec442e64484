// Divides objects into slices, by arithmetic alone. Large objects are cut, small objects share a
// slice, formats that are one document a file are never cut. The same objects and sizes give the
// same slices.
//
//   objects   | a.jsonl 2.5 slices | b.jsonl | c.md | d.jsonl | e.jsonl 1.2 slices |
//   slices    |   1  |   2  |   3  |         4                |     5    |    6    |
//
// Plain JSONL is cut into even byte ranges. All else is cut at the split points of its index: lines
// or row groups.

import { isRowFormat, isWholeFile, type ObjectIndex } from '@reembed/formats'
import type { Slice, SlicePart, SourceObject } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'

export interface Slicing {
  /** Maximum bytes of a slice of lines. */
  readonly sliceBytes: number
  /**
   * Maximum number of objects or rows in a slice. A whole file weighs 1/maxParts of a slice.
   */
  readonly maxParts: number
}

/** An object, with its index if its size alone does not determine how to cut it. */
export type IndexedObject = SourceObject & { readonly index?: ObjectIndex }

/**
 * The slices of a corpus. Holds one slice at a time. The ranges tile each object; empty objects
 * have none.
 */
export async function* slices(
  objects: Iterable<IndexedObject> | AsyncIterable<IndexedObject>,
  slicing: Slicing,
): AsyncGenerator<Slice, void, undefined> {
  // In units of 1/maxParts byte: weights are integers, so their sums are exact.
  const { sliceBytes, maxParts } = slicing
  const capacity = sliceBytes * maxParts
  let parts: SlicePart[] = []
  let filled = 0

  for await (const object of objects) {
    const whole = wholeOf(object)
    if (whole.end === 0) continue
    const cut =
      !isWholeFile(object.format) && whole.end > (isRowFormat(object.format) ? maxParts : sliceBytes)
    const weight = weightOf(whole, slicing)
    if (parts.length > 0 && (cut || filled + weight > capacity)) {
      yield { parts }
      parts = []
      filled = 0
    }
    if (cut) {
      for (const part of cutObject(whole, object.index, slicing)) yield { parts: [part] }
    } else {
      parts.push(whole)
      filled += weight
    }
  }
  if (parts.length > 0) yield { parts }
}

/** The whole object as one part. */
function wholeOf({ index, ...object }: IndexedObject): SlicePart {
  if (index === undefined) return { ...object, start: 0, end: object.size }
  const { extent, splitPoints, table } = index
  const seek = splitPoints[0]?.seek
  return { ...object, start: 0, end: extent, extent, ...(seek && { seek }), ...(table && { table }) }
}

function weightOf({ format, end }: SlicePart, { sliceBytes, maxParts }: Slicing): number {
  if (isWholeFile(format)) return sliceBytes
  return Math.max(sliceBytes, end * (isRowFormat(format) ? sliceBytes : maxParts))
}

function cutObject(whole: SlicePart, index: ObjectIndex | undefined, slicing: Slicing): Iterable<SlicePart> {
  if (index === undefined) return cutEvenly(whole, whole.end, slicing.sliceBytes)
  return isRowFormat(whole.format) ? cutRows(whole, index, slicing.maxParts) : cutAtLines(whole, index)
}

/**
 * Ranges of equal length, none longer than `most`, so that the last slice is not a small remainder.
 */
function* cutEvenly(part: SlicePart, end: number, most: number): Generator<SlicePart, void, undefined> {
  const length = Math.ceil((end - part.start) / Math.ceil((end - part.start) / most))
  for (let start = part.start; start < end; start += length) {
    yield { ...part, start, end: Math.min(end, start + length) }
  }
}

/** The index was made for this slicing: every split point begins a slice. */
function* cutAtLines(
  whole: SlicePart,
  { splitPoints, extent }: ObjectIndex,
): Generator<SlicePart, void, undefined> {
  for (const [i, cut] of splitPoints.entries())
    yield { ...whole, ...cut, end: splitPoints[i + 1]?.start ?? extent }
}

/** Joins as many row groups as fit; cuts a larger one evenly. */
function* cutRows(
  whole: SlicePart,
  { splitPoints, extent }: ObjectIndex,
  most: number,
): Generator<SlicePart, void, undefined> {
  let first = splitPoints[0]
  for (const [i, cut] of splitPoints.entries()) {
    const end = splitPoints[i + 1]?.start ?? extent
    const after = splitPoints[i + 2]?.start ?? extent
    if (first === undefined) throw new ReembedError('INTERNAL', `${whole.key} has no first row`)
    const { start } = first
    if (i + 1 < splitPoints.length && after - start <= most) continue
    if (end > start) yield* cutEvenly({ ...whole, ...(first.seek && { seek: first.seek }), start }, end, most)
    first = splitPoints[i + 1] ?? cut
  }
}

/**
 * The slicing of the base run is kept if its bytes and its parts per slice differ from the new
 * estimates by less than this factor. Estimates vary, and another slicing would change every slice,
 * so that no slice could be reused whole.
 */
const KEEP_FACTOR = 2

/**
 * Returns the slicing of the base run if it is close enough to `fresh`, so that unchanged objects
 * have the same slices; else returns `fresh`.
 */
export function keepSlicing(
  previous: Slicing | undefined,
  fresh: Slicing,
  documentsPerShard: number | undefined,
): Slicing {
  if (previous === undefined || (documentsPerShard !== undefined && previous.maxParts !== fresh.maxParts))
    return fresh
  const fits = (a: number, b: number): boolean => a < KEEP_FACTOR * b && b < KEEP_FACTOR * a
  return fits(previous.sliceBytes, fresh.sliceBytes) && fits(previous.maxParts, fresh.maxParts)
    ? previous
    : fresh
}

export interface ChooseSlicingOptions {
  /** Estimated from the sample. */
  readonly documents: number
  readonly bytesPerRecord: number
  /** The number of objects that hold them. */
  readonly objects: number
  readonly dimensions: number
  /** Estimated number of chunks of a document. */
  readonly chunksPerDocument?: number | undefined
  /** Documents of a slice; fewer if their vectors would exceed a shard. */
  readonly documentsPerShard?: number | undefined
}

const DOCUMENTS_PER_SHARD = 4096
/**
 * A large corpus is cut into about this many larger shards, until they are as large as a shard may
 * be: finalizing, verifying and the next version send a few requests for each.
 */
const LARGE_CORPUS_SHARDS = 2048
/**
 * A small corpus is cut into about this many shards, so that several workers share it and progress
 * is visible ...
 */
const SHARDS_WANTED = 8
/** ... but into shards of no fewer documents than this. */
const MIN_DOCUMENTS_PER_SHARD = 256
/** Maximum bytes of vectors in a shard: a worker holds it in memory and writes it in one PUT. */
const MAX_SHARD_BYTES = 64 * 1024 * 1024

/**
 * Chooses the size of slices so that a shard has about the wanted number of documents. Slices are
 * cut by bytes, so records of uneven size make uneven shards.
 */
export function chooseSlicing(options: ChooseSlicingOptions): Slicing {
  const { documents, bytesPerRecord, objects, dimensions, chunksPerDocument = 1, documentsPerShard } = options
  const fits = Math.floor(MAX_SHARD_BYTES / (dimensions * Float32Array.BYTES_PER_ELEMENT * chunksPerDocument))
  const fine = Math.max(MIN_DOCUMENTS_PER_SHARD, Math.ceil(documents / SHARDS_WANTED))
  // The receipt of a shard names each of its objects: a shard of small files has no more of them.
  const coarse = Math.min(documents / LARGE_CORPUS_SHARDS, (DOCUMENTS_PER_SHARD * documents) / objects)
  const wanted = Math.min(Math.max(DOCUMENTS_PER_SHARD, Math.ceil(coarse)), fine)
  const perShard = Math.max(1, Math.min(fits, documentsPerShard ?? Math.ceil(wanted / chunksPerDocument)))
  return { sliceBytes: Math.max(perShard, Math.round(perShard * bytesPerRecord)), maxParts: perShard }
}
