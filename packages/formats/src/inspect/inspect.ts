// Reads the first records of an object to learn its fields and their sizes without reading all of
// it.

import type { CsvTable, SourceObject } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { decompress, isTruncated } from '../bytes/decompress.ts'
import { createLineScanner } from '../bytes/lines.ts'
import { createRowParser } from '../csv/csv.ts'
import { findTable, syntaxOf } from '../csv/csv-dialect.ts'
import { createCsvScanner, isBlankRow } from '../csv/csv-scanner.ts'
import { BOM_BYTES, hasBom, isRowFormat, requireUtf8 } from '../format.ts'
import { parseLine } from '../jsonl/parse-line.ts'
import { type Partition, partitionOf } from '../partition.ts'
import { fieldGetter } from '../value/field.ts'
import { repeatedKeys, requireOne } from '../value/one-name.ts'
import { MAX_RECORD_BYTES } from '../value/record-values.ts'
import type { InspectOptions, ObjectInspection } from './object-facts.ts'

const INSPECT_BYTES = 64 * 1024
/** A zstd block may have 128 KiB, and the decompressor needs the whole block. */
const COMPRESSED_INSPECT_BYTES = 256 * 1024

/**
 * Reads the first records of an object. Of Parquet and Arrow, reads only the metadata.
 * @throws ReembedError SOURCE_FORMAT if the object does not match its extension.
 */
export async function inspectObject(
  store: Store,
  object: SourceObject,
  options: InspectOptions = {},
): Promise<ObjectInspection> {
  return withPartition(await inspectContent(store, object, options), partitionOf(store, object.key))
}

async function inspectContent(
  store: Store,
  object: SourceObject,
  options: InspectOptions,
): Promise<ObjectInspection> {
  if (isRowFormat(object.format))
    return (await import('./inspect-table.ts')).inspectTable(store, object, options)
  if (object.format === 'jsonl') return inspectJsonl(store, object, options)
  return inspectCsv(store, object, options)
}

/** Adds the partition columns to the fields of the object. */
function withPartition(inspection: ObjectInspection, partition: Partition): ObjectInspection {
  const names = Object.keys(partition)
  if (names.length === 0 || inspection.fieldNames.length === 0) return inspection
  return {
    ...inspection,
    fieldNames: [...new Set([...inspection.fieldNames, ...names])],
    hasField: path => inspection.hasField(path) || names.includes(path),
    fieldTypeOf: path => inspection.fieldTypeOf(path) ?? (names.includes(path) ? 'string' : undefined),
    records: inspection.records.map(record => ({ ...partition, ...record })),
  }
}

interface ParsedHead {
  readonly records: object[]
  /** Records, valid or not. */
  lines: number
  bytes: number
  fault: string | undefined
}

/**
 * Inspects the complete lines in the `maxBytes` bytes from `start`. At the start of the object it
 * reads further, up to the longest permitted line, until it has one.
 */
async function inspectJsonl(
  store: Store,
  object: SourceObject,
  { start = 0, maxBytes, signal }: InspectOptions,
): Promise<ObjectInspection> {
  const { key } = object
  let seen: ParsedHead = { records: [], lines: 0, bytes: 0, fault: undefined }
  const repeated = new Set<string>()
  const head = await headOf(store, object, { start, maxBytes, signal }, (bytes, whole) => {
    seen = { records: [], lines: 0, bytes: 0, fault: undefined }
    const scanner = createLineScanner(start, MAX_RECORD_BYTES, {
      line(buffer, from, to, offset) {
        // Whether a line begins at `start` is unknown, so the bytes before the first '\n' are
        // skipped.
        if (start > 0 && offset === start) return
        let first = from
        if (offset === 0) {
          const line = buffer.subarray(from, to)
          requireUtf8(key, line)
          if (hasBom(line)) first += BOM_BYTES
          if (buffer[first] === LEFT_BRACKET) throw isArray(key)
        }
        seen.bytes += to - from + 1
        const parsed = parseLine(buffer, first, to, () => true)
        if (parsed === undefined) return
        seen.lines += 1
        if ('reason' in parsed) {
          seen.fault ??= parsed.message
          return
        }
        seen.records.push(parsed.record)
        for (const path of repeatedKeys(buffer.toString('utf8', first, to))) repeated.add(path)
      },
      lineTooLong(length, offset) {
        if (start > 0 && offset === start) return
        seen.bytes += length + 1
        seen.lines += 1
        seen.fault ??= `the line has ${length} bytes, the limit is ${MAX_RECORD_BYTES}`
      },
    })
    scanner.push(bytes)
    if (whole) scanner.finish()
    return seen.lines > 0 || start > 0
  })
  const inspection = toInspection(object, head, seen, [...new Set(seen.records.flatMap(Object.keys))])
  return {
    ...inspection,
    hasField(path) {
      for (const twice of repeated)
        if (`${path}.`.startsWith(`${twice}.`) || twice.startsWith(`${path}.`)) throw keyTwice(key, twice)
      return inspection.hasField(path)
    },
  }
}

async function inspectCsv(
  store: Store,
  object: SourceObject,
  { maxBytes, signal }: InspectOptions,
): Promise<ObjectInspection> {
  const { key } = object
  const format = object.format === 'tsv' ? 'tsv' : 'csv'
  let seen: ParsedHead = { records: [], lines: 0, bytes: 0, fault: undefined }
  let table: CsvTable | undefined
  const head = await headOf(store, object, { start: 0, maxBytes, signal }, (bytes, whole) => {
    seen = { records: [], lines: 0, bytes: 0, fault: undefined }
    const found = findTable(key, format, bytes, object.csv)
    table = found
    const toRecord = createRowParser(
      key,
      found,
      [...new Set(found.columns)].filter(name => !isTwice(found, name)),
    )
    let header = found.header !== false
    const scanner = createCsvScanner({ ...syntaxOf(found), key, start: 0 }, row => {
      if (isBlankRow(row)) return
      if (header) {
        header = false
        return
      }
      seen.bytes += row.end - row.start
      seen.lines += 1
      const record = toRecord(row)
      if (typeof record === 'string') seen.fault ??= record
      else seen.records.push(record)
    })
    scanner.push(bytes)
    if (whole) scanner.finish()
    return seen.lines > 0
  })
  const names = table?.columns ?? []
  return {
    ...toInspection(object, head, seen, names),
    hasField(path) {
      requireOne(key, names, path)
      return names.includes(path)
    },
    ...(table && { table }),
  }
}

/** A column whose name occurs twice cannot be chosen. */
const isTwice = ({ columns }: CsvTable, name: string): boolean =>
  columns.indexOf(name) !== columns.lastIndexOf(name)

function toInspection(
  { key }: SourceObject,
  head: Head,
  seen: ParsedHead,
  fieldNames: readonly string[],
): ObjectInspection {
  const { records, lines, bytes: recordBytes, fault: firstError } = seen
  return {
    key,
    fieldNames,
    hasField(path) {
      const field = fieldGetter(path)
      return records.some(record => field(record) !== undefined)
    },
    fieldTypeOf: () => undefined,
    records,
    recordCount: lines,
    recordBytes,
    objectBytes: head.unpacked === 0 ? 0 : (recordBytes * head.packed) / head.unpacked,
    bytesRead: head.bytesRead,
    ...(firstError !== undefined && { firstError }),
  }
}

interface Head {
  readonly packed: number
  readonly unpacked: number
  readonly bytesRead: number
}

/**
 * Reads from `start` until `isEnough` returns true, the object ends, or a record would exceed the
 * limit.
 */
async function headOf(
  store: Store,
  { key, etag, size, compression }: SourceObject,
  {
    start,
    maxBytes,
    signal,
  }: { start: number; maxBytes: number | undefined; signal: AbortSignal | undefined },
  isEnough: (bytes: Buffer, whole: boolean) => boolean,
): Promise<Head> {
  let step = Math.max(maxBytes ?? INSPECT_BYTES, compression ? COMPRESSED_INSPECT_BYTES : 0)
  let packed: Buffer = Buffer.alloc(0)
  while (true) {
    const from = start + packed.length
    const end = Math.min(size, from + step)
    packed = Buffer.concat([packed, await store.get(key, { start: from, end, ifMatch: etag, signal })])
    const whole = end === size
    const bytes = compression ? await unpackHead(packed, { key, compression, whole }) : packed
    const enough = isEnough(bytes, whole && bytes.length < MAX_UNPACKED_BYTES)
    if (enough || whole || bytes.length > MAX_RECORD_BYTES) {
      return { packed: packed.length, unpacked: bytes.length, bytesRead: packed.length }
    }
    step = Math.min(MAX_RECORD_BYTES, step * 8)
  }
}

const MAX_UNPACKED_BYTES = 2 * MAX_RECORD_BYTES

/** Decompresses the first bytes of an object, as far as they reach. */
async function unpackHead(
  packed: Buffer,
  { key, compression, whole }: { key: string; compression: 'gzip' | 'zstd'; whole: boolean },
): Promise<Buffer> {
  const pieces: Buffer[] = []
  let length = 0
  async function* once(): AsyncGenerator<Uint8Array> {
    yield packed
  }
  try {
    for await (const { bytes } of decompress(once(), { key, compression })) {
      pieces.push(bytes)
      length += bytes.length
      if (length >= MAX_UNPACKED_BYTES) break
    }
  } catch (error) {
    // The read was truncated on purpose; the bytes decompressed so far are valid.
    if (whole || !isTruncated(error)) throw error
  }
  return Buffer.concat(pieces)
}

/**
 * The most common mistake. The faults of single lines would not reveal it, and the last line may
 * parse as a record.
 */
const LEFT_BRACKET = 0x5b
const keyTwice = (key: string, path: string): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} has a record with the key ${JSON.stringify(path)} twice, of which JSON readers keep the last: write each key once`,
  )

const isArray = (key: string): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} is a JSON array, expected one object per line: convert it with \`jq -c '.[]'\``,
  )
