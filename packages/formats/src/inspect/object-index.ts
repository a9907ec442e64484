// Measures an object whose size alone does not tell how to cut it: its extent and its split points.
// Compressed objects and CSV are read once completely; of Parquet and Arrow only the metadata is
// read.

import type { CsvTable, SourceObject } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { decompress } from '../bytes/decompress.ts'
import { DIALECT_BYTES, findTable, syntaxOf } from '../csv/csv-dialect.ts'
import { type CsvScanner, createCsvScanner, isBlankRow } from '../csv/csv-scanner.ts'
import { createSwallowCheck, type SwallowCheck } from '../csv/csv-swallow.ts'
import { requireUtf8 } from '../format.ts'
import { MAX_RECORD_BYTES } from '../value/record-values.ts'
import type { ObjectIndex, ObjectIndexOptions, SplitPoint } from './object-facts.ts'

/**
 * Measures the extent of an object, in the unit of its format, and finds its split points.
 * @throws ReembedError SOURCE_FORMAT if the object does not match its extension, is truncated or
 * damaged.
 * @throws ReembedError CORRUPT if the store returns fewer bytes than the object has; a retry can
 * succeed.
 */
export async function indexObject(
  store: Store,
  object: SourceObject,
  options: ObjectIndexOptions,
): Promise<ObjectIndex> {
  switch (object.format) {
    case 'parquet':
      return (await import('../parquet/parquet.ts')).indexParquet(store, object, options.signal)
    case 'arrow':
      return (await import('../arrow/arrow.ts')).indexArrow(store, object, options.signal)
    case 'csv':
    case 'tsv':
      return indexCsv(store, object, object.format, options)
    default:
      return indexLines(store, object, options)
  }
}

/**
 * One pass over a compressed JSONL object. Searches for a line break only where a slice is full.
 */
async function indexLines(
  store: Store,
  object: SourceObject,
  { sliceBytes, signal }: ObjectIndexOptions,
): Promise<ObjectIndex> {
  const cuts: SplitPoint[] = [{ start: 0, seek: { objectOffset: 0, contentOffset: 0 } }]
  let seek = { objectOffset: 0, contentOffset: 0 }
  let at = 0
  let wanted = sliceBytes
  for await (const { bytes, frameStart } of decompressedPieces(store, object, signal)) {
    if (at === 0) requireUtf8(object.key, bytes)
    if (frameStart !== undefined) seek = { objectOffset: frameStart, contentOffset: at }
    while (wanted <= at + bytes.length) {
      // A line begins after each line break: the first one at or after byte `wanted - 1`.
      const newline = bytes.indexOf(10, Math.max(0, wanted - 1 - at))
      if (newline === -1) break
      const start = at + newline + 1
      cuts.push({ start, seek })
      wanted = start + sliceBytes
    }
    at += bytes.length
  }
  return { extent: at, splitPoints: dropShortTail(cuts, at, sliceBytes) }
}

/** One pass over a CSV or TSV object. */
async function indexCsv(
  store: Store,
  object: SourceObject,
  format: 'csv' | 'tsv',
  { sliceBytes, signal }: ObjectIndexOptions,
): Promise<ObjectIndex> {
  const { key, csv } = object
  const frames: { objectOffset: number; contentOffset: number }[] = []
  const cuts: SplitPoint[] = [
    { start: 0, ...(object.compression && { seek: { objectOffset: 0, contentOffset: 0 } }) },
  ]
  let at = 0
  let wanted = sliceBytes
  let head: Buffer = Buffer.alloc(0)
  let table: CsvTable | undefined
  let scanner: CsvScanner | undefined
  let swallowed: SwallowCheck | undefined

  const begin = (): void => {
    table = findTable(key, format, head, csv)
    if (csv?.quote === undefined) swallowed = createSwallowCheck(key, table)
    let isFirst = true
    let line = 1
    scanner = createCsvScanner({ ...syntaxOf(table), key, start: 0 }, row => {
      swallowed?.add(row, line)
      line += row.lineCount
      if (isBlankRow(row)) return
      // No cut at the first row or right behind it: the reader of the first slice skips the header
      // itself.
      const wasFirst = isFirst
      isFirst = false
      if (wasFirst || row.start < wanted) return
      while (frames.length > 1 && (frames[1]?.contentOffset ?? 0) <= row.start) frames.shift()
      const [seek] = frames
      cuts.push({ start: row.start, ...(object.compression && seek && { seek }) })
      wanted = row.start + sliceBytes
    })
    scanner.push(head)
    head = Buffer.alloc(0)
  }
  for await (const { bytes, frameStart } of decompressedPieces(store, object, signal)) {
    if (frameStart !== undefined) frames.push({ objectOffset: frameStart, contentOffset: at })
    at += bytes.length
    if (scanner) {
      scanner.push(bytes)
      continue
    }
    head = Buffer.concat([head, bytes])
    if (head.length > DIALECT_BYTES && head.includes(10)) begin()
    if (head.length > MAX_RECORD_BYTES) begin()
  }
  if (!scanner && at > 0) begin()
  scanner?.finish()
  swallowed?.finish()
  return { extent: at, splitPoints: dropShortTail(cuts, at, sliceBytes), ...(table && { table }) }
}

/** The content of the object, decompressed if necessary. */
async function* decompressedPieces(
  store: Store,
  { key, etag, size, compression }: SourceObject,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ bytes: Buffer; frameStart?: number }, void, undefined> {
  const chunks = store.stream(key, { end: size, ifMatch: etag, signal })
  if (compression) {
    yield* decompress(chunks, { key, compression, splitMembers: true })
    return
  }
  let read = 0
  for await (const chunk of chunks) {
    read += chunk.length
    yield { bytes: Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) }
  }
  if (read !== size) {
    throw new ReembedError(
      'CORRUPT',
      `reading ${JSON.stringify(key)} ended at byte ${read}, expected ${size}`,
      {
        retry: 'retry',
      },
    )
  }
}

/** Merges a last piece of less than a quarter of a slice into the piece before it. */
function dropShortTail(cuts: SplitPoint[], extent: number, sliceBytes: number): SplitPoint[] {
  const last = cuts.at(-1)
  if (cuts.length > 1 && last && extent - last.start < sliceBytes / 4) cuts.pop()
  return cuts
}
