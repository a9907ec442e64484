// Objects -> slices, by arithmetic alone. Large JSONL objects are cut into even byte ranges, small objects share a
// slice, whole-file formats are never cut. The same objects and numbers give the same slices.
//
//   objects   | a.jsonl 2.5 slices | b.jsonl | c.md | d.jsonl | e.jsonl 1.2 slices |
//   slices    |   1  |   2  |   3  |         4                |     5    |    6    |

import { isWholeFile, type Slice, type SlicePart, type SourceObject } from '@reembed/shared'

export interface Slicing {
  /** JSONL bytes of a slice, at most. */
  readonly sliceBytes: number
  /** Objects in a slice, at most. Also what a whole file weighs: a slice is full with so many of them. */
  readonly maxParts: number
}

/** The slices of a corpus, holding one slice at a time. The ranges tile each object; empty objects have none. */
export async function* slices(
  objects: Iterable<SourceObject> | AsyncIterable<SourceObject>,
  { sliceBytes, maxParts }: Slicing,
): AsyncGenerator<Slice, void, undefined> {
  // In units of 1/maxParts byte, so that weights are whole numbers and add up exactly.
  const capacity = sliceBytes * maxParts
  let parts: SlicePart[] = []
  let filled = 0

  for await (const object of objects) {
    if (object.size === 0) continue
    const cut = !isWholeFile(object.format) && object.size > sliceBytes
    const weight = isWholeFile(object.format) ? sliceBytes : Math.max(sliceBytes, object.size * maxParts)
    if (parts.length > 0 && (cut || filled + weight > capacity)) {
      yield { parts }
      parts = []
      filled = 0
    }
    if (cut) {
      for (const part of cutEvenly(object, sliceBytes)) yield { parts: [part] }
    } else {
      parts.push({ ...object, start: 0, end: object.size })
      filled += weight
    }
  }
  if (parts.length > 0) yield { parts }
}

/** Ranges of equal length, none longer than `sliceBytes`: no slice is a crumb. */
function* cutEvenly(object: SourceObject, sliceBytes: number): Generator<SlicePart, void, undefined> {
  const length = Math.ceil(object.size / Math.ceil(object.size / sliceBytes))
  for (let start = 0; start < object.size; start += length) {
    yield { ...object, start, end: Math.min(object.size, start + length) }
  }
}

export interface ChooseSlicingOptions {
  /** Estimates, from the sample. */
  readonly documents: number
  readonly bytesPerRecord: number
  readonly dimensions: number
  /** Documents of a slice; fewer if their vectors would not fit a shard. */
  readonly documentsPerShard?: number | undefined
}

const DOCUMENTS_PER_SHARD = 4096
/** Small corpora are cut finer, so that several workers have something to do and progress can be seen ... */
const SHARDS_WANTED = 8
/** ... but not into crumbs. */
const MIN_DOCUMENTS_PER_SHARD = 256
/** What a store writes in one PUT, and a worker holds. */
const MAX_SHARD_BYTES = 64 * 1024 * 1024

/** A slice gets about as many documents as make a good shard. By bytes, so records of uneven size make uneven shards. */
export function chooseSlicing(options: ChooseSlicingOptions): Slicing {
  const { documents, bytesPerRecord, dimensions, documentsPerShard } = options
  const fits = Math.floor(MAX_SHARD_BYTES / (dimensions * Float32Array.BYTES_PER_ELEMENT))
  const fine = Math.max(MIN_DOCUMENTS_PER_SHARD, Math.ceil(documents / SHARDS_WANTED))
  const perShard = Math.max(1, Math.min(fits, documentsPerShard ?? Math.min(DOCUMENTS_PER_SHARD, fine)))
  return { sliceBytes: Math.max(perShard, Math.round(perShard * bytesPerRecord)), maxParts: perShard }
}
