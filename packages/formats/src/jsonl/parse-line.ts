// Parses one line of JSONL into a record or a reject reason. A message names the fault and never
// quotes the line: rejects are logged and displayed, and texts must not be.

import { isUtf8 } from 'node:buffer'
import type { RejectReason } from '@reembed/protocol'
import { LIMITS } from '@reembed/shared'
import { BOM_BYTES, hasBom } from '../format.ts'
import { mayBeRounded, parseExactJson, parseJsonWithNonFinite } from '../value/exact-json.ts'
import { describeValue } from '../value/record-values.ts'

const CARRIAGE_RETURN = 13

const MAX_DEPTH = LIMITS.sourceJsonDepth
const BOM_FIRST_BYTE = 0xef

export type ParsedLine =
  | { readonly record: object }
  | { readonly reason: RejectReason; readonly message: string }
  | undefined

/**
 * Parses the JSON object on a line. Returns the fault of an invalid line, and undefined for a blank
 * line.
 * @param needsExactNumbers whether a record has to be parsed with all digits of its numbers, which
 * takes longer
 */
export function parseLine(
  bytes: Buffer,
  start: number,
  to: number,
  needsExactNumbers: (record: object) => boolean,
): ParsedLine {
  // A byte order mark begins each file that was joined into this one.
  const from =
    bytes[start] === BOM_FIRST_BYTE && hasBom(bytes.subarray(start, to)) ? start + BOM_BYTES : start
  if (to - from === 0 || (to - from === 1 && bytes[from] === CARRIAGE_RETURN)) return undefined
  const line = bytes.toString('utf8', from, to)
  // Bytes that are not valid UTF-8 decode to U+FFFD. A valid file may contain that character too,
  // so its presence makes the bytes be checked. A line without it costs only the search.
  if (line.includes('\uFFFD') && !isUtf8(bytes.subarray(from, to))) {
    return { reason: 'invalid_utf8', message: 'the line is not valid UTF-8' }
  }
  let value: unknown
  /** A line with NaN or Infinity is parsed exactly, and JSON.parse refuses it. */
  let isExact = false
  try {
    value = JSON.parse(line)
  } catch (error) {
    value = withNonFinite(line)
    isExact = true
    if (value === undefined)
      return line.trim() === '' ? undefined : { reason: 'invalid_json', message: syntaxMessage(error) }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { reason: 'invalid_record', message: `the line is ${describeValue(value)}, expected an object` }
  }
  if (deeperThan(MAX_DEPTH, value)) {
    return { reason: 'invalid_record', message: `the record is nested deeper than ${MAX_DEPTH} levels` }
  }
  const isRounded = !isExact && needsExactNumbers(value) && mayBeRounded(line)
  return { record: isRounded ? (parseExactJson(line) as object) : value }
}

/** A line that Python wrote with NaN or Infinity; undefined for any other invalid line. */
function withNonFinite(line: string): unknown {
  try {
    return parseJsonWithNonFinite(line)
  } catch {
    return undefined
  }
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
