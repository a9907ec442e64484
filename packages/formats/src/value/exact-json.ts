// JSON whose numbers keep their digits. JSON.parse rounds integers beyond 2^53, long fractions and
// exponents that no double has; and it refuses NaN and Infinity, which Python and others write.

import { decimalOf } from './to-column.ts'
import { TypedValue } from './typed-value.ts'

/** A number with 16 digits, or with an exponent that may leave the range of doubles. */
const MAY_BE_ROUNDED = /\d[\d.]{15}|\d[eE][+-]?\d\d/

/** Whether a text may hold a number that JSON.parse rounds. */
export const mayBeRounded = (text: string): boolean => MAY_BE_ROUNDED.test(text)

/**
 * Parses JSON with exact numbers: an integer beyond 2^53 is a bigint, any other number that a
 * double rounds is a TypedValue. @throws SyntaxError as JSON.parse does
 */
export const parseExactJson = (text: string): unknown => JSON.parse(text, exactNumber)

/**
 * The same for JSON with NaN and Infinity; undefined if the text has neither outside of its
 * strings.
 * @throws SyntaxError as JSON.parse does
 */
export function parseJsonWithNonFinite(text: string): unknown {
  let found = false
  const replaced = text.replace(TOKEN, token => {
    const stand = STAND_INS.get(token)
    found ||= stand !== undefined
    return stand ?? token
  })
  return found ? JSON.parse(replaced, exactNumber) : undefined
}

/**
 * A string, or a bare word that only Python's JSON has. A string may lack its end: without that, a
 * search from each of its escaped quotes would take quadratic time.
 */
const TOKEN = /"(?:[^"\\]+|\\.)*"?|-?\bInfinity\b|\bNaN\b/g
/** Numbers that no writer makes stand for the words while JSON.parse reads the text. */
const STAND_INS = new Map([
  ['NaN', '1.0e99990'],
  ['Infinity', '1.0e99991'],
  ['-Infinity', '-1.0e99991'],
])
const NON_FINITE = new Map([
  ['1.0e99990', Number.NaN],
  ['1.0e99991', Number.POSITIVE_INFINITY],
  ['-1.0e99991', Number.NEGATIVE_INFINITY],
])

/** The third argument is of the proposal 'JSON.parse source text access', which Node 24 has. */
function exactNumber(_: string, value: unknown, { source }: { readonly source?: string } = {}): unknown {
  if (typeof value !== 'number' || source === undefined) return value
  if (Number.isSafeInteger(value) && source.length < 16 && !/e/i.test(source)) return value
  if (/^-?\d+$/.test(source)) return Number.isSafeInteger(value) ? value : BigInt(source)
  const special = NON_FINITE.get(source)
  if (special !== undefined) return special
  const exact = decimalOf(source)
  const read = decimalOf(String(value))
  if (Number.isFinite(value) && exact.digits === read.digits && exact.exponent === read.exponent) return value
  return new TypedValue('a number', source, true)
}
