// One line of JSONL -> a record, or the reason why it is none. A message says what is wrong and never shows what the
// line holds: rejects are logged and shown, texts are not.

import { isUtf8 } from 'node:buffer'
import type { Position, Reject, RejectReason } from '@reembed/protocol'

/** A longer line or file is a reject: no model reads as much, and nobody has to hold it. */
export const MAX_RECORD_BYTES: number = 8 * 1024 * 1024
const MAX_ID_BYTES = 1024
const MAX_DEPTH = 64
const MAX_MESSAGE_CHARS = 200
const CARRIAGE_RETURN = 13

/** Stands for a text whose bytes are no UTF-8, in readers that hand out texts ready made. */
export const INVALID_UTF8: object = Object.freeze({})
export const isInvalidUtf8 = (value: unknown): boolean => value === INVALID_UTF8

export type ParsedLine =
  | { readonly record: object }
  | { readonly reason: RejectReason; readonly message: string }
  | undefined

/** The JSON object on a line, what is wrong with it, or undefined if the line is blank. */
export function parseLine(bytes: Buffer, from: number, to: number): ParsedLine {
  if (to - from === 0 || (to - from === 1 && bytes[from] === CARRIAGE_RETURN)) return undefined
  const line = bytes.toString('utf8', from, to)
  // Bytes that are no UTF-8 decode to U+FFFD. A good file may hold that character too, so the bytes are checked
  // themselves, but only then: a search that fails is all that a clean line pays.
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

/** An id as it goes into the shard. Whole numbers become strings, as they do in every vector database. */
export function toId(value: unknown, field: string): string | { reason: RejectReason; message: string } {
  const fault = (reason: RejectReason, what: string) => ({
    reason,
    message: `field "${field}" ${what}`,
  })
  if (value === undefined || value === null) return fault('missing_id', `is ${describeValue(value)}`)
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') {
    // Beyond 2^53 two different numbers in the file can be the same number here: never guess an id.
    if (Number.isSafeInteger(value)) return String(value)
    return fault('invalid_id', 'is a number that is not exact, expected a string or an integer below 2^53')
  }
  if (typeof value !== 'string') return fault('invalid_id', `is ${describeValue(value)}, expected a string`)
  if (value === '') return fault('invalid_id', 'is an empty string')
  if (!value.isWellFormed()) return fault('invalid_id', 'holds half a surrogate pair')
  if (value.length * 3 > MAX_ID_BYTES && Buffer.byteLength(value) > MAX_ID_BYTES) {
    return fault('invalid_id', `has ${Buffer.byteLength(value)} bytes, the limit is ${MAX_ID_BYTES}`)
  }
  return value
}

/** A reject whose message is safe to print: one line of bounded length without control characters. */
export function createReject(reason: RejectReason, message: string, position: Position, id?: string): Reject {
  const plain = message.replace(/\p{C}+/gu, ' ')
  const short = plain.length > MAX_MESSAGE_CHARS ? `${plain.slice(0, MAX_MESSAGE_CHARS - 3)}...` : plain
  return { kind: 'reject', ...(id !== undefined && { id }), reason, message: short, position }
}

/** What a value is, in words that fit after 'is'. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Where JSON.parse stopped. Its own message is not used: it quotes the line. */
function syntaxMessage(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  if (/end of JSON input$|^Unterminated string/.test(message))
    return 'the JSON ends early: is the line cut off?'
  const at = / at position (\d+)(?: \(line \d+ column \d+\))?$/.exec(message)?.[1]
  return at === undefined ? 'the line is not valid JSON' : `the line is not valid JSON at character ${at}`
}

/** Recursion ends after `levels` calls, however deep the value is. Runs for every record, so it allocates nothing. */
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
