// Parses one line of JSONL into a record or a reject reason. A message names the fault and never
// quotes the line: rejects are logged and displayed, and texts must not be.

import { isUtf8 } from 'node:buffer'
import type { Position, Reject, RejectReason } from '@reembed/protocol'

/**
 * A longer line or file becomes a reject: no model reads as much, and the bound keeps memory
 * bounded.
 */
export const MAX_RECORD_BYTES: number = 8 * 1024 * 1024
const MAX_ID_BYTES = 1024
const MAX_DEPTH = 64
const MAX_MESSAGE_CHARS = 200
const CARRIAGE_RETURN = 13

/**
 * Placeholder for a text whose bytes are not valid UTF-8, in readers that decode texts themselves.
 */
export const INVALID_UTF8: object = Object.freeze({})
export const isInvalidUtf8 = (value: unknown): boolean => value === INVALID_UTF8

export type ParsedLine =
  | { readonly record: object }
  | { readonly reason: RejectReason; readonly message: string }
  | undefined

/**
 * Parses the JSON object on a line. Returns the fault of an invalid line, and undefined for a blank
 * line.
 */
export function parseLine(bytes: Buffer, from: number, to: number): ParsedLine {
  if (to - from === 0 || (to - from === 1 && bytes[from] === CARRIAGE_RETURN)) return undefined
  const line = bytes.toString('utf8', from, to)
  // Bytes that are not valid UTF-8 decode to U+FFFD. A valid file may contain that character too,
  // so its presence makes the bytes be checked. A line without it costs only the search.
  if (line.includes('\uFFFD') && !isUtf8(bytes.subarray(from, to))) {
    return { reason: 'invalid_utf8', message: 'the line is not valid UTF-8' }
  }
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    return line.trim() === '' ? undefined : { reason: 'invalid_json', message: syntaxMessage(error) }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { reason: 'invalid_record', message: `the line is ${describeValue(value)}, expected an object` }
  }
  if (deeperThan(MAX_DEPTH, value)) {
    return { reason: 'invalid_record', message: `the record is nested deeper than ${MAX_DEPTH} levels` }
  }
  return { record: value }
}

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
    return fault('invalid_id', 'is a number that is not exact, expected a string or an integer below 2^53')
  }
  if (typeof value !== 'string') return fault('invalid_id', `is ${describeValue(value)}, expected a string`)
  if (value === '') return fault('invalid_id', 'is an empty string')
  if (!value.isWellFormed()) return fault('invalid_id', 'contains an unpaired surrogate')
  if (value.length * 3 > MAX_ID_BYTES && Buffer.byteLength(value) > MAX_ID_BYTES) {
    return fault('invalid_id', `has ${Buffer.byteLength(value)} bytes, the limit is ${MAX_ID_BYTES}`)
  }
  return value
}

/**
 * Makes a reject whose message is safe to print: one line of bounded length without control
 * characters.
 */
export function createReject(reason: RejectReason, message: string, position: Position, id?: string): Reject {
  const plain = message.replace(/\p{C}+/gu, ' ')
  const short = plain.length > MAX_MESSAGE_CHARS ? `${plain.slice(0, MAX_MESSAGE_CHARS - 3)}...` : plain
  return { kind: 'reject', ...(id !== undefined && { id }), reason, message: short, position }
}

/** Describes the type of a value, phrased to follow 'is'. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/**
 * States where JSON.parse stopped. The message of JSON.parse is not used because it quotes the
 * line.
 */
function syntaxMessage(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  if (/end of JSON input$|^Unterminated string/.test(message))
    return 'the JSON ends early: is the line cut off?'
  const at = / at position (\d+)(?: \(line \d+ column \d+\))?$/.exec(message)?.[1]
  return at === undefined ? 'the line is not valid JSON' : `the line is not valid JSON at character ${at}`
}

/**
 * Recursion ends after `levels` calls, whatever the depth of the value. Runs for every record:
 * allocates nothing.
 */
function deeperThan(levels: number, value: object): boolean {
  if (levels === 0) return true
  if (Array.isArray(value)) return value.some(member => isObject(member) && deeperThan(levels - 1, member))
  for (const name in value) {
    const member: unknown = value[name as keyof typeof value]
    if (isObject(member) && deeperThan(levels - 1, member)) return true
  }
  return false
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
