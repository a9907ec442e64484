// How an object is read is told by its extension, and only by it: a plan can be made from a listing alone.

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
  ['.md', 'markdown'],
  ['.markdown', 'markdown'],
])

const COMPRESSIONS: ReadonlyMap<string, Compression> = new Map([
  ['.gz', 'gzip'],
  ['.bgz', 'gzip'],
  ['.zst', 'zstd'],
])

/** Compressed, it holds records in practice (C4, Dolma); plain, it is more often a document or a setting. */
const JSON_EXTENSION = '.json'

/** For messages: '.jsonl, .ndjson, .csv, ...'. */
export const SUPPORTED_EXTENSIONS: string = [...EXTENSIONS.keys()].join(', ')

/** How an object is read. */
export interface ObjectEncoding {
  readonly format: Format
  readonly compression?: Compression
}

/**
 * How an object is read by its extensions, or undefined if they are not known. Letter case does not matter. `named`
 * stands for the format, whatever the extension says of it; a compression is still told by the last one.
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

/** Whether an object of this format is one document, never cut. */
export const isWholeFile = (format: Format): boolean => format === 'text' || format === 'markdown'

/** Whether it is cut by rows, which its own metadata counts. */
export const isRowFormat = (format: Format): boolean => format === 'parquet' || format === 'arrow'

/** Whether it is a stream of records, which may be compressed as a whole. */
const isRecordFormat = (format: Format): boolean => !isWholeFile(format) && !isRowFormat(format)

/** Whether somebody has to look into the object before it can be cut. */
export const needsIndex = ({ format, compression }: ObjectEncoding): boolean =>
  compression !== undefined || !(format === 'jsonl' || isWholeFile(format))

/** First bytes that no UTF-8 text has. Where one is the start of another, the longer comes first. */
const SIGNATURES = [
  { bytes: [0xff, 0xfe, 0x00, 0x00], name: 'UTF-32 (little-endian)' },
  { bytes: [0x00, 0x00, 0xfe, 0xff], name: 'UTF-32 (big-endian)' },
  { bytes: [0xff, 0xfe], name: 'UTF-16 (little-endian)' },
  { bytes: [0xfe, 0xff], name: 'UTF-16 (big-endian)' },
  { bytes: [0x1f, 0x8b], name: 'gzip' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], name: 'zstd' },
  { bytes: [0x50, 0x41, 0x52, 0x31], name: 'Parquet' },
] as const

/** Throws SOURCE_FORMAT if an object that starts with `head` is in an encoding that can't be read as text. */
export function requireUtf8(key: string, head: Uint8Array): void {
  const found = SIGNATURES.find(({ bytes }) => bytes.every((byte, i) => head[i] === byte))
  if (!found) return
  throw new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} is ${found.name}, but is read as UTF-8 text: convert it or leave it out`,
  )
}

export const BOM_BYTES = 3

/** Whether `bytes` starts with the byte order mark of UTF-8, which is no part of the text. */
export const hasBom = (bytes: Uint8Array): boolean =>
  bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
