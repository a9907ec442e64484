// The extension alone decides how an object is read, so that a plan can be made from a listing.

import type { Compression, Format } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'

const EXTENSIONS: ReadonlyMap<string, Format> = new Map([
  ['.jsonl', 'jsonl'],
  ['.ndjson', 'jsonl'],
  ['.csv', 'csv'],
  ['.tsv', 'tsv'],
  ['.parquet', 'parquet'],
  ['.arrow', 'arrow'],
  ['.feather', 'arrow'],
  ['.txt', 'text'],
  ['.text', 'text'],
  ['.rst', 'text'],
  ['.md', 'markdown'],
  ['.markdown', 'markdown'],
  ['.html', 'html'],
  ['.htm', 'html'],
  ['.pdf', 'pdf'],
])

const COMPRESSIONS: ReadonlyMap<string, Compression> = new Map([
  ['.gz', 'gzip'],
  ['.bgz', 'gzip'],
  ['.zst', 'zstd'],
])

/**
 * Compressed .json files are JSONL in practice (C4, Dolma). Plain ones are mostly documents or
 * settings.
 */
const JSON_EXTENSION = '.json'

/** All supported extensions for messages: '.jsonl, .ndjson, .csv, ...'. */
export const SUPPORTED_EXTENSIONS: string = [...EXTENSIONS.keys()].join(', ')

/** Format and compression of an object. */
export interface ObjectEncoding {
  readonly format: Format
  readonly compression?: Compression
}

/**
 * Format and compression of an object by its extensions, in any letter case; undefined if they are
 * unknown. `formatOverride` replaces the format; the last extension still decides the compression.
 */
export function objectEncodingOf(key: string, formatOverride?: Format): ObjectEncoding | undefined {
  const [last, before] = extensionsOf(key)
  const compression = COMPRESSIONS.get(last)
  const isJson = compression !== undefined && before === JSON_EXTENSION
  const format = formatOverride ?? (isJson ? 'jsonl' : EXTENSIONS.get(compression ? before : last))
  if (format === undefined) return undefined
  if (compression === undefined) return { format }
  return isRecordFormat(format) ? { format, compression } : undefined
}

function extensionsOf(key: string): [last: string, before: string] {
  const [, before = '', last = ''] = /(\.[^./]+)?(\.[^./]+)$/.exec(key.toLowerCase()) ?? []
  return [last, before]
}

/** Whether an object of this format is one document, which is never cut. */
export const isWholeFile = (format: Format): boolean =>
  format === 'text' || format === 'markdown' || format === 'html' || format === 'pdf'

/** Whether the format is cut by rows, which its metadata counts. */
export const isRowFormat = (format: Format): boolean => format === 'parquet' || format === 'arrow'

/** Whether the format is a stream of records, which may be compressed as a whole. */
const isRecordFormat = (format: Format): boolean => !isWholeFile(format) && !isRowFormat(format)

/** Whether the object must be indexed (indexObject) before it can be cut. */
export const needsIndex = ({ format, compression }: ObjectEncoding): boolean =>
  compression !== undefined || !(format === 'jsonl' || isWholeFile(format))

/** First bytes that no UTF-8 text has. Where one is a prefix of another, the longer comes first. */
const SIGNATURES = [
  { bytes: [0xff, 0xfe, 0x00, 0x00], name: 'UTF-32 (little-endian)' },
  { bytes: [0x00, 0x00, 0xfe, 0xff], name: 'UTF-32 (big-endian)' },
  { bytes: [0xff, 0xfe], name: 'UTF-16 (little-endian)' },
  { bytes: [0xfe, 0xff], name: 'UTF-16 (big-endian)' },
  { bytes: [0x1f, 0x8b], name: 'gzip' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], name: 'zstd' },
  { bytes: [0x50, 0x41, 0x52, 0x31], name: 'Parquet' },
] as const

/**
 * @throws ReembedError SOURCE_FORMAT if `head`, the first bytes of an object, is not in UTF-8.
 */
export function requireUtf8(key: string, head: Uint8Array): void {
  const signature = SIGNATURES.find(({ bytes }) => bytes.every((byte, i) => head[i] === byte))
  const name = signature?.name ?? unmarkedUtf16(head)
  if (name === undefined) return
  throw new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} is ${name}, but its format requires UTF-8 text: convert or exclude it`,
  )
}

const UTF16_BYTES = 1024

/**
 * UTF-16 without a byte order mark, which UTF-8 readers accept: one of the two bytes of each ASCII
 * character is 0. At least half of the characters must be ASCII, and no other byte 0.
 */
function unmarkedUtf16(head: Uint8Array): string | undefined {
  const bytes = head.subarray(0, UTF16_BYTES)
  const zeros = [0, 0] as [even: number, odd: number]
  for (const [i, byte] of bytes.entries()) if (byte === 0) zeros[i % 2 === 0 ? 0 : 1] += 1
  const [even, odd] = zeros
  if (bytes.length < 4 || Math.max(even, odd) * 4 < bytes.length || Math.min(even, odd) > 0) return undefined
  return `UTF-16 (${even === 0 ? 'little' : 'big'}-endian) without a byte order mark`
}

/** Length of the UTF-8 byte order mark. */
export const BOM_BYTES: number = 3

/** Whether `bytes` starts with the UTF-8 byte order mark, which is not part of the text. */
export const hasBom = (bytes: Uint8Array): boolean =>
  bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
