// Decodes the column chunks of a shard. Supports only what the writer writes: plain data pages of
// version 1 without dictionaries. Throws a plain Error for anything else; the caller adds the name
// of the shard.

import { zstdDecompressSync } from 'node:zlib'
import type { CarriedValue, Dtype } from '@reembed/protocol'
import { LIMITS } from '@reembed/shared'
import { deserializeTCompactProtocol } from 'hyparquet/src/thrift.js'
import type { FlatColumn } from '../parquet/columns.ts'
import { HASH_BYTES } from './columns.ts'
import { checkLevels } from './levels.ts'

/** Decodes the chunk of a required string column, whose pages are compressed. */
export function decodeStrings(chunk: Buffer, rows: number): string[] {
  const strings: string[] = []
  eachString(chunk, rows, (bytes, start, end) => strings.push(bytes.toString('utf8', start, end)))
  return strings
}

/** Calls `visit` for the bytes of each value of a required string column, in order. */
export function eachString(
  chunk: Buffer,
  rows: number,
  visit: (bytes: Buffer, start: number, end: number) => void,
): void {
  let visited = 0
  for (const { values, uncompressedBytes, body } of pages(chunk)) {
    const bytes = zstdDecompressSync(body, { maxOutputLength: Math.max(1, uncompressedBytes) })
    if (!(values <= rows - visited)) throw new Error(`has a page of ${values} more ids for ${rows} rows`)
    let at = 0
    for (let value = 0; value < values; value++) {
      const start = at + 4
      at = start + bytes.readUInt32LE(at)
      if (at > bytes.length) throw new Error('a string reaches beyond its page')
      visit(bytes, start, at)
    }
    visited += values
  }
  if (visited !== rows) throw new Error(`has ${visited} ids for ${rows} rows`)
}

/** Decodes the chunk of any flat column. An int64 beyond 2^53 is returned as a bigint. */
export function decodeFlat(
  chunk: Buffer,
  rows: number,
  { type, nullable, name }: FlatColumn,
): CarriedValue[] {
  const decoded: CarriedValue[] = []
  for (const { values, uncompressedBytes, body } of pages(chunk)) {
    const bytes = zstdDecompressSync(body, { maxOutputLength: Math.max(1, uncompressedBytes) })
    if (!(values <= rows - decoded.length)) {
      throw new Error(`has a page that claims ${values} values of ${name} for ${rows} rows`)
    }
    const at = nullable ? 4 + bytes.readUInt32LE(0) : 0
    const next = valueReader(type, bytes.subarray(at))
    let nth = 0
    const take = (count: number): void => {
      for (let taken = 0; taken < count; taken++) decoded.push(next(nth++))
    }
    if (!nullable) take(values)
    else
      checkLevels(bytes.subarray(4, at), values, (start, length, level) => {
        if (start + length > values) return false
        if (level === 1) take(length)
        else for (let skipped = 0; skipped < length; skipped++) decoded.push(null)
        return true
      })
  }
  if (decoded.length !== rows) throw new Error(`has ${decoded.length} values of ${name} for ${rows} rows`)
  return decoded
}

/**
 * Returns a function that reads the n-th plain value. Calls must be in order. Reading beyond the
 * end throws.
 */
function valueReader(type: FlatColumn['type'], bytes: Buffer): (nth: number) => CarriedValue {
  let at = 0
  switch (type) {
    case 'string':
      return () => {
        const start = at + 4
        at = start + bytes.readUInt32LE(at)
        if (at > bytes.length) throw new Error('a string reaches beyond its page')
        return bytes.toString('utf8', start, at)
      }
    case 'int32':
      return nth => bytes.readInt32LE(4 * nth)
    case 'int64':
      return nth => {
        // A bigint for each value costs more than everything else.
        const high = bytes.readInt32LE(8 * nth + 4)
        const value = high * 2 ** 32 + bytes.readUInt32LE(8 * nth)
        return Number.isSafeInteger(value) ? value : bytes.readBigInt64LE(8 * nth)
      }
    case 'double':
      return nth => bytes.readDoubleLE(8 * nth)
    case 'boolean':
      return nth => ((bytes.readUInt8(nth >> 3) >> (nth & 7)) & 1) === 1
  }
}

/** Decodes the chunk of the vectors to float32, rows of `dimensions` values. */
export function decodeVectors(
  chunk: Buffer,
  rows: number,
  { dimensions, dtype }: { readonly dimensions: number; readonly dtype: Dtype },
): Float32Array {
  if (dtype === 'float16') {
    return new Float32Array(new Float16Array(decodeValues(chunk, rows, dimensions, 2)))
  }
  return new Float32Array(decodeValues(chunk, rows, dimensions, 4))
}

/** Copies the values of all pages into one buffer. */
function decodeValues(chunk: Buffer, rows: number, dimensions: number, valueBytes: number): ArrayBuffer {
  // Vectors are not compressed, so the chunk bounds the allocation.
  if (!(rows * dimensions * valueBytes <= chunk.length)) {
    throw new Error(`claims ${rows} vectors of ${dimensions} dimensions in ${chunk.length} bytes`)
  }
  // Every byte is set below, so the memory is not zeroed first.
  const target = Buffer.allocUnsafeSlow(rows * dimensions * valueBytes)
  let filled = 0
  for (const { values, body } of pages(chunk)) {
    const repetitionEnd = 4 + body.readUInt32LE(0)
    const definitionEnd = repetitionEnd + 4 + body.readUInt32LE(repetitionEnd)
    checkLevels(body.subarray(4, repetitionEnd), values, (start, length, level) =>
      // Level 0 marks the start of a row: required at each multiple of `dimensions`, an error
      // elsewhere.
      level === 0
        ? start % dimensions === 0 && (length === 1 || dimensions === 1)
        : insideRow(start, length, dimensions),
    )
    checkLevels(
      body.subarray(repetitionEnd + 4, definitionEnd),
      values,
      (_start, _length, level) => level === 1,
    )
    const floats = body.subarray(definitionEnd)
    if (floats.length !== values * valueBytes)
      throw new Error(`a page has ${floats.length} bytes for ${values} values`)
    if (values % dimensions !== 0 || filled + floats.length > target.length) break
    target.set(floats, filled)
    filled += floats.length
  }
  if (filled !== target.length) throw new Error(`has fewer than ${rows} vectors of ${dimensions} dimensions`)
  return target.buffer
}

const insideRow = (start: number, length: number, dimensions: number): boolean =>
  start % dimensions !== 0 && (start % dimensions) + length <= dimensions

/** Decodes the chunk of the content hashes: 16 bytes for each row. */
export function decodeHashes(chunk: Buffer, rows: number): Uint8Array {
  const hashes = Buffer.concat(Array.from(pages(chunk), ({ body }) => body))
  if (hashes.length !== rows * HASH_BYTES)
    throw new Error(`has ${hashes.length} bytes of hashes for ${rows} rows`)
  return hashes
}

interface Page {
  readonly values: number
  /** Size of the body before compression. */
  readonly uncompressedBytes: number
  readonly body: Buffer
}

/** Thrift enum values of the only page type in a shard. */
const DATA_PAGE = 0
const PLAIN = 0
/** The writer ends a page at 1 MiB, but a single text may have 8 MiB. */
const MAX_PAGE_BYTES = LIMITS.pageBytes

function* pages(chunk: Buffer): Generator<Page, void, undefined> {
  const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength), offset: 0 }
  while (reader.offset < chunk.length) {
    const header = deserializeTCompactProtocol(reader)
    const data = header.field_5
    if (header.field_1 !== DATA_PAGE || data?.field_2 !== PLAIN) {
      throw new Error('has a page that is not a plain data page')
    }
    const end = reader.offset + Number(header.field_3)
    if (!(end >= reader.offset && end <= chunk.length)) {
      throw new Error('has a page that reaches beyond its column')
    }
    const values = Number(data.field_1)
    const uncompressedBytes = Number(header.field_2)
    if (!(values >= 0 && uncompressedBytes >= 0 && uncompressedBytes <= MAX_PAGE_BYTES)) {
      throw new Error(`has a page that claims ${values} values in ${uncompressedBytes} bytes`)
    }
    yield {
      values,
      uncompressedBytes,
      body: chunk.subarray(reader.offset, end),
    }
    reader.offset = end
  }
}
