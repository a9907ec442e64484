// Looks at some lines of a JSONL object, to learn its fields and the size of its records without reading it.

import type { SourceObject } from '../corpus.ts'
import { ReembedError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { BOM_BYTES, hasBom, refuseForeignEncoding } from './format.ts'
import { createLineScanner } from './lines.ts'
import { MAX_RECORD_BYTES, parseLine } from './record.ts'

export interface Probe {
  readonly key: string
  /** What was parsed: the JSON objects on the lines that are good. */
  readonly records: readonly object[]
  /** Lines that are not blank, good or not. */
  readonly lines: number
  /** Bytes of the lines, blank ones included. */
  readonly bytes: number
  /** Bytes read to see them. */
  readonly bytesRead: number
  /** What is wrong with the first line that is no JSON object. */
  readonly fault?: string
}

export interface ProbeOptions {
  readonly start?: number
  readonly maxBytes?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * The lines that lie wholly in `maxBytes` from `start`. At the start of the object it looks further, up to the
 * longest line allowed, until it has seen one.
 */
export async function probeJsonl(
  store: Store,
  { key, etag, size }: SourceObject,
  { start = 0, maxBytes = 64 * 1024, signal }: ProbeOptions = {},
): Promise<Probe> {
  const records: object[] = []
  let lines = 0
  let bytes = 0
  let fault: string | undefined
  let end = start
  let step = maxBytes
  const scanner = createLineScanner(start, MAX_RECORD_BYTES, {
    line(buffer, from, to, offset) {
      // Whether a line began at `start` can't be told from here, so what comes before the first '\n' is left out.
      if (start > 0 && offset === start) return
      let first = from
      if (offset === 0) {
        const head = buffer.subarray(from, to)
        refuseForeignEncoding(key, head)
        if (hasBom(head)) first += BOM_BYTES
        if (buffer[first] === LEFT_BRACKET) throw isArray(key)
      }
      bytes += to - from + 1
      const parsed = parseLine(buffer, first, to)
      if (parsed === undefined) return
      lines += 1
      if ('record' in parsed) records.push(parsed.record)
      else fault ??= parsed.message
    },
    tooLong(length, offset) {
      if (start > 0 && offset === start) return
      bytes += length + 1
      lines += 1
      fault ??= `the line has ${length} bytes, the limit is ${MAX_RECORD_BYTES}`
    },
  })
  do {
    const from = end
    end = Math.min(size, end + step)
    step = Math.min(MAX_RECORD_BYTES, step * 8)
    scanner.push(await store.get(key, { start: from, end, ifMatch: etag, signal }))
  } while (start === 0 && lines === 0 && end < size && end <= MAX_RECORD_BYTES)
  if (end === size) scanner.finish()
  return { key, records, lines, bytes, bytesRead: end - start, ...(fault !== undefined && { fault }) }
}

/** The commonest mistake. What is wrong with its lines would not tell, and the last of them may even be a record. */
const LEFT_BRACKET = 0x5b
const isArray = (key: string): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} is a JSON array, expected one object a line: \`jq -c '.[]'\` converts it`,
  )
