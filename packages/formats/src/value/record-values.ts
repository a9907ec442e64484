// Limits and conversions of the values of a record, for every format.

import type { RejectReason } from '@reembed/protocol'
import { LIMITS } from '@reembed/shared'
import { TypedValue } from './typed-value.ts'

/**
 * A longer line or file becomes a reject: no model reads as much, and the bound keeps memory
 * bounded.
 */
export const MAX_RECORD_BYTES: number = LIMITS.sourceRecordBytes
const MAX_ID_BYTES = LIMITS.sourceIdBytes
/**
 * Placeholder for a text whose bytes are not valid UTF-8, in readers that decode texts themselves.
 */
export const INVALID_UTF8: object = Object.freeze({})
/** Whether a reader found that the bytes of a text are not valid UTF-8. */
export const isInvalidUtf8 = (value: unknown): boolean => value === INVALID_UTF8

/** Converts an id to its form in the shard. Integers become strings, as vector databases expect. */
export function toId(value: unknown, field: string): string | { reason: RejectReason; message: string } {
  const fault = (reason: RejectReason, what: string) => ({
    reason,
    message: `field "${field}" ${what}`,
  })
  if (value === undefined || value === null) return fault('missing_id', `is ${describeValue(value)}`)
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') {
    // Above 2^53, two different integers in the file can parse to the same number: such an id is
    // refused.
    if (Number.isSafeInteger(value)) return String(value)
    return fault('invalid_id', 'is a number that is not exact, expected a string or an integer')
  }
  if (value instanceof TypedValue && value.isNumber && !/^-?\d+$/.test(value.text)) {
    return fault('invalid_id', 'is a number that is not exact, expected a string or an integer')
  }
  // A decimal without a fraction is how some databases store integers.
  if (value instanceof TypedValue && /^(-?\d+|[0-9a-f-]{36})$/.test(value.text)) return value.text
  if (typeof value !== 'string') return fault('invalid_id', `is ${describeValue(value)}, expected a string`)
  if (value === '') return fault('invalid_id', 'is an empty string')
  if (!value.isWellFormed()) return fault('invalid_id', 'contains an unpaired surrogate')
  if (value.length * 3 > MAX_ID_BYTES && Buffer.byteLength(value) > MAX_ID_BYTES) {
    return fault('invalid_id', `has ${Buffer.byteLength(value)} bytes, the limit is ${MAX_ID_BYTES}`)
  }
  return value
}

/** Describes the type of a value, phrased to follow 'is'. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (value instanceof TypedValue) return value.kind
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
