// How an object is read is told by its extension, and only by it: a plan can be made from a listing alone.

import type { Format } from '../corpus.ts'
import { ReembedError } from '../errors.ts'

const EXTENSIONS: ReadonlyMap<string, Format> = new Map([
  ['.jsonl', 'jsonl'],
  ['.ndjson', 'jsonl'],
  ['.txt', 'text'],
  ['.text', 'text'],
  ['.md', 'markdown'],
  ['.markdown', 'markdown'],
])

export const FORMATS: readonly Format[] = [...new Set(EXTENSIONS.values())]

/** For messages: '.jsonl, .ndjson, .txt, ...'. */
export const KNOWN_EXTENSIONS: string = [...EXTENSIONS.keys()].join(', ')

/** The format of an object, or undefined if its extension is not known. Letter case does not matter. */
export function formatOf(key: string): Format | undefined {
  const extension = /\.[^./]+$/.exec(key)?.[0]
  return extension === undefined ? undefined : EXTENSIONS.get(extension.toLowerCase())
}

/** Whether an object of this format is one document, never cut. */
export const isWholeFile = (format: Format): boolean => format !== 'jsonl'

/** First bytes that no UTF-8 text has. Where one is the start of another, the longer comes first. */
const SIGNATURES = [
  { bytes: [0xff, 0xfe, 0x00, 0x00], name: 'UTF-32 (little-endian)' },
  { bytes: [0x00, 0x00, 0xfe, 0xff], name: 'UTF-32 (big-endian)' },
  { bytes: [0xff, 0xfe], name: 'UTF-16 (little-endian)' },
  { bytes: [0xfe, 0xff], name: 'UTF-16 (big-endian)' },
  { bytes: [0x1f, 0x8b], name: 'gzip' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], name: 'zstd' },
] as const

/** Throws SOURCE_FORMAT if an object that starts with `head` is in an encoding that can't be read as text. */
export function refuseForeignEncoding(key: string, head: Uint8Array): void {
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
