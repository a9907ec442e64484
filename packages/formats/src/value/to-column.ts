// The one place that decides how a value of a record becomes a value of a carried column: exactly,
// or not at all. docs/formats.md has the table.

import type { CarriedType, CarriedValue } from '@reembed/protocol'
import { toText } from './to-text.ts'
import { TypedValue } from './typed-value.ts'

const INT32 = 2n ** 31n
const NUMBER = /^[+-]?(\d+)(?:\.(\d*))?(?:[eE][+-]?\d+)?$|^[+-]?\.(\d+)(?:[eE][+-]?\d+)?$/
const NOT_FINITE = /^([+-]?)(?:(nan)|inf(?:inity)?)$/i
/**
 * So many significant digits identify every double: a longer fraction states more than it holds.
 */
const DOUBLE_DIGITS = 17

/**
 * Converts a value to the type of its column. Null for a missing value, and for an empty string
 * where the column holds no strings. Undefined if the column cannot hold the value exactly.
 */
export function toColumn(value: unknown, type: CarriedType): CarriedValue | undefined {
  if (value === undefined || value === null) return null
  if (type === 'string') return toText(value)?.toWellFormed()
  if (typeof value === 'string' && value.trim() === '') return null
  switch (type) {
    case 'boolean':
      return toBoolean(value)
    case 'double':
      return toDouble(value)
    case 'int32': {
      const integer = toInteger(value)
      return integer !== undefined && integer >= -INT32 && integer < INT32 ? Number(integer) : undefined
    }
    case 'int64': {
      const integer = toInteger(value)
      return integer !== undefined && BigInt.asIntN(64, BigInt(integer)) === BigInt(integer)
        ? integer
        : undefined
    }
  }
}

/** Whether a column of the type can hold the value. */
export const fitsColumn = (value: unknown, type: CarriedType): boolean => toColumn(value, type) !== undefined

function toBoolean(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value
  const text = typeof value === 'string' ? value.trim().toLowerCase() : ''
  return text === 'true' ? true : text === 'false' ? false : undefined
}

function toInteger(value: unknown): number | bigint | undefined {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  if (value instanceof TypedValue && value.double !== undefined) return toInteger(value.double)
  const [, whole] = /^\+?(-?\d+)(?:\.0*)?$/.exec(numericText(value) ?? '') ?? []
  if (whole === undefined) return undefined
  return Number.isSafeInteger(Number(whole)) ? Number(whole) : BigInt(whole)
}

function toDouble(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') {
    const double = Number(value)
    return Number.isFinite(double) && BigInt(double) === value ? double : undefined
  }
  if (value instanceof TypedValue && value.double !== undefined) return value.double
  const text = numericText(value)
  if (text === undefined) return undefined
  if (/^-?\d+$/.test(text)) return toDouble(BigInt(text))
  const [, sign, nan] = NOT_FINITE.exec(text) ?? []
  if (sign !== undefined) {
    return nan ? Number.NaN : sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  }
  const double = Number(text)
  return holds(double, text) ? double : undefined
}

/** The text of a string or a decimal that may be a number. */
function numericText(value: unknown): string | undefined {
  const text =
    typeof value === 'string' ? value.trim() : value instanceof TypedValue && value.isNumber ? value.text : ''
  return NUMBER.test(text) || NOT_FINITE.test(text) ? text : undefined
}

/** Whether the double is the number, or the nearest double of a fraction that it can identify. */
function holds(double: number, text: string): boolean {
  const wanted = decimalOf(text)
  if (!Number.isFinite(double)) return false
  const found = decimalOf(String(double))
  if (wanted.digits === found.digits && wanted.exponent === found.exponent) return true
  const isFraction = wanted.exponent < 0
  return isFraction && wanted.digits.length <= DOUBLE_DIGITS && (double !== 0 || wanted.digits === '')
}

/**
 * The significant digits of a number without zeros around them, and the power of ten of the last.
 */
export function decimalOf(text: string): { readonly digits: string; readonly exponent: number } {
  const [mantissa = '', power = '0'] = text.toLowerCase().replace(/^[+-]/, '').split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  const all = (whole + fraction).replace(/^0+/, '')
  const digits = all.replace(/0+$/, '')
  if (digits === '') return { digits, exponent: 0 }
  return { digits, exponent: Number(power) - fraction.length + (all.length - digits.length) }
}
