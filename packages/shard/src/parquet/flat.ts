// Pages of flat columns: strings, numbers, booleans and nulls. Compressed, with the least and the
// greatest value, which let readers skip row groups.

import type { CarriedValue } from '@reembed/protocol'
import type { Statistics } from 'hyparquet'
import type { FlatColumn } from './columns.ts'
import { definitionLevels } from './levels.ts'
import { compress, PAGE_BYTES, type Page } from './pages.ts'

/**
 * Yields the pages of one flat column. Fills `statistics`, which are complete after the last page.
 * The caller must have checked the types of the values (`columnMismatch`).
 */
export function flatPages(
  column: FlatColumn,
  values: readonly CarriedValue[],
  statistics: Statistics,
): Generator<Page, void, undefined> {
  statistics.null_count = BigInt(values.reduce<number>((nulls, value) => nulls + (value === null ? 1 : 0), 0))
  return column.type === 'string'
    ? stringPages(values as readonly (string | null)[], column.nullable, statistics)
    : numberPages(column, values as readonly (number | bigint | boolean | null)[], statistics)
}

function* stringPages(
  strings: readonly (string | null)[],
  nullable: boolean,
  statistics: Statistics,
): Generator<Page, void, undefined> {
  let min: Buffer | undefined
  let max: Buffer | undefined
  for (let row = 0; row < strings.length; ) {
    const first = row
    const page = Buffer.allocUnsafe(Math.max(PAGE_BYTES, maxBytes(strings[row] ?? '')))
    let size = 0
    // Positions in the page of the least and the greatest string, in the order of their UTF-8
    // bytes.
    let [minStart, minEnd, maxStart, maxEnd] = [-1, 0, -1, 0]
    for (; row < strings.length; row++) {
      const text = strings[row] ?? null
      if (text === null) continue
      if (size + maxBytes(text) > page.length) break
      const start = size + 4
      const bytes = page.write(text, start)
      page.writeUInt32LE(bytes, size)
      size = start + bytes
      if (minStart < 0 || page.compare(page, minStart, minEnd, start, size) < 0) {
        minStart = start
        minEnd = size
      }
      if (maxStart < 0 || page.compare(page, maxStart, maxEnd, start, size) > 0) {
        maxStart = start
        maxEnd = size
      }
    }
    if (minStart >= 0) {
      const least = page.subarray(minStart, minEnd)
      const greatest = page.subarray(maxStart, maxEnd)
      if (min === undefined || least.compare(min) < 0) statistics.min_value = min = Buffer.from(least)
      if (max === undefined || greatest.compare(max) > 0) statistics.max_value = max = Buffer.from(greatest)
    }
    const rows = row - first
    const values = page.subarray(0, size)
    const body = nullable
      ? Buffer.concat([definitionLevels(strings.slice(first, row).map(text => text !== null)), values])
      : values
    yield { rows, values: rows, body: [compress(body)], uncompressedBytes: body.length }
  }
}

/** A UTF-16 code unit takes at most 3 bytes of UTF-8; the length prefix takes 4. */
const maxBytes = (text: string): number => 4 + 3 * text.length

/** A row group has at most 65,536 rows, so its numbers fit one page. */
function* numberPages(
  { type, nullable }: FlatColumn,
  values: readonly (number | bigint | boolean | null)[],
  statistics: Statistics,
): Generator<Page, void, undefined> {
  if (values.length === 0) return
  const present = values.filter(value => value !== null)
  setBounds(present, statistics)
  const body = Buffer.concat([
    ...(nullable ? [definitionLevels(values.map(value => value !== null))] : []),
    encodeNumbers(type, present),
  ])
  yield { rows: values.length, values: values.length, body: [compress(body)], uncompressedBytes: body.length }
}

function encodeNumbers(type: FlatColumn['type'], values: readonly (number | bigint | boolean)[]): Uint8Array {
  switch (type) {
    case 'int32':
      return bytesOf(Int32Array.from(values, Number))
    case 'int64':
      return bytesOf(BigInt64Array.from(values, BigInt))
    case 'double':
      return bytesOf(Float64Array.from(values, Number))
    default: {
      const bits = new Uint8Array(Math.ceil(values.length / 8))
      for (const [row, value] of values.entries())
        if (value) bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7))
      return bits
    }
  }
}

/**
 * With a NaN, which has no order, the bounds are omitted. The bounds include both zeros, as the
 * Parquet format asks.
 */
function setBounds(values: readonly (number | bigint | boolean)[], statistics: Statistics): void {
  let [min] = values
  let max = min
  if (min === undefined || max === undefined) return
  for (const value of values) {
    if (Number.isNaN(value)) return
    if (value < min) min = value
    if (value > max) max = value
  }
  statistics.min_value = min === 0 ? -0 : min
  statistics.max_value = max === 0 ? 0 : max
}

/** Parquet is little-endian, as is every machine that runs Node. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)

/**
 * The reason why a column cannot hold `value`: 'is a string', 'is missing', ...; undefined if it
 * can.
 */
export function columnMismatch(
  { type, nullable }: FlatColumn,
  value: CarriedValue | undefined,
): string | undefined {
  if (value === undefined || value === null) return nullable ? undefined : 'is missing'
  switch (type) {
    case 'string':
      if (typeof value !== 'string') break
      return value.isWellFormed() ? undefined : 'contains an unpaired surrogate, which UTF-8 cannot store'
    case 'boolean':
      if (typeof value !== 'boolean') break
      return undefined
    case 'double':
      if (typeof value !== 'number') break
      return undefined
    case 'int32':
      if (typeof value !== 'number') break
      return (value | 0) === value ? undefined : 'does not fit 32 bits'
    case 'int64':
      if (typeof value === 'bigint')
        return BigInt.asIntN(64, value) === value ? undefined : 'does not fit 64 bits'
      if (typeof value !== 'number') break
      return Number.isSafeInteger(value) ? undefined : 'is not an exact integer'
  }
  return `is a ${typeof value}`
}
