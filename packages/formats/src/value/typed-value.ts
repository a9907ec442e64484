// Values of source types that JavaScript has no exact type for. A reader of a table or of JSON
// makes one of these instead of a rounded number or a shortened time, so that nothing behind it has
// to know the source type.

/** A value with its exact text, and how JSON writes it. */
export class TypedValue {
  /** The type, phrased to follow 'is': 'a decimal', 'a timestamp'. */
  readonly kind: string
  /** Whether the text is a number of JSON: digits, and perhaps a fraction and an exponent. */
  readonly isNumber: boolean
  /** The same value as a double, where the source type is a narrower float. */
  readonly double: number | undefined
  readonly #text: string | (() => string)

  constructor(kind: string, text: string | (() => string), isNumber = false, double?: number) {
    this.kind = kind
    this.#text = text
    this.isNumber = isNumber
    this.double = double
  }

  get text(): string {
    return typeof this.#text === 'string' ? this.#text : this.#text()
  }
}

/** Units of Arrow and Parquet, by the number of decimal places of a second. */
export type SecondPlaces = 0 | 3 | 6 | 9

const DAY_SECONDS = 86_400

/** A decimal: `unscaled` x 10^-scale, with exactly `scale` decimal places. */
export function decimalValue(unscaled: bigint, scale: number): TypedValue {
  return new TypedValue('a decimal', () => decimalText(unscaled, scale), true)
}

function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : ''
  const digits = String(unscaled < 0n ? -unscaled : unscaled)
  if (scale === 0) return sign + digits
  if (scale < 0) return digits === '0' ? '0' : sign + digits + '0'.repeat(-scale)
  const padded = digits.padStart(scale + 1, '0')
  return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`
}

/**
 * A point in time, counted from 1970 in units of 10^-places seconds. `isUtc` adds the 'Z' of UTC; a
 * timestamp without a time zone gets none.
 */
export function timestampValue(count: bigint | number, places: SecondPlaces, isUtc: boolean): TypedValue {
  return new TypedValue('a timestamp', () => {
    const perDay = BigInt(DAY_SECONDS) * 10n ** BigInt(places)
    const units = BigInt(count)
    const within = ((units % perDay) + perDay) % perDay
    const days = Number((units - within) / perDay)
    return `${dateText(days)}T${timeText(within, places)}${isUtc ? 'Z' : ''}`
  })
}

/** A date, in days from 1970. */
export const dateValue = (days: number): TypedValue => new TypedValue('a date', () => dateText(days))

/** A time of day, in units of 10^-places seconds. */
export const timeValue = (count: bigint | number, places: SecondPlaces): TypedValue =>
  new TypedValue('a time', () => timeText(BigInt(count), places))

/** A duration of ISO 8601 in seconds: 'PT90.500S', '-PT1S'. */
export function durationValue(count: bigint, places: SecondPlaces): TypedValue {
  return new TypedValue('a duration', () => {
    const text = decimalText(count < 0n ? -count : count, places)
    return `${count < 0n ? '-' : ''}PT${text}S`
  })
}

/** A float of fewer than 64 bits: its text is the shortest that reads back as the same float. */
export const floatValue = (double: number, bits: 16 | 32): TypedValue =>
  new TypedValue(`a float${bits}`, () => shortFloat(double, bits), Number.isFinite(double), double)

export const uuidValue = (bytes: Uint8Array): TypedValue =>
  new TypedValue('a UUID', () =>
    Buffer.from(bytes)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
  )

/** Two's complement, big-endian: decimals of Parquet. */
export function bigEndianInteger(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`))
}

function timeText(units: bigint, places: SecondPlaces): string {
  const scale = 10n ** BigInt(places)
  const seconds = Number(units / scale)
  const fraction = places === 0 ? '' : `.${String(units % scale).padStart(places, '0')}`
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${fraction}`
}

/**
 * The proleptic Gregorian date, by H. Hinnant's civil_from_days. Years outside of 0000 to 9999 have
 * a sign, as ISO 8601 asks.
 */
function dateText(days: number): string {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const digits = String(Math.abs(year)).padStart(4, '0')
  const sign = year < 0 ? '-' : year > 9999 ? '+' : ''
  return `${sign}${digits}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`
}

/** Significant digits that identify every float of the width. */
const FLOAT_DIGITS = { 16: 5, 32: 9 } as const

function shortFloat(value: number, bits: 16 | 32): string {
  if (!Number.isFinite(value) || value === 0) return numberText(value)
  const round = bits === 32 ? Math.fround : Math.f16round
  for (let digits = 1; digits < FLOAT_DIGITS[bits]; digits++) {
    const short = Number(evenPrecision(value, digits))
    if (round(short) === value) return numberText(short)
  }
  return numberText(Number(value.toPrecision(FLOAT_DIGITS[bits])))
}

/** Number.prototype.toPrecision, but half-way between two numbers it takes the even digit. */
function evenPrecision(value: number, digits: number): string {
  const [mantissa = '', exponent = ''] = value.toExponential(digits - 1).split('e')
  const last = Number(mantissa.at(-1))
  const [all = ''] = value.toExponential(40).split('e')
  const rest = all.replace(/[-.]/g, '').slice(digits)
  const isTie = last % 2 === 1 && /^50*$/.test(rest)
  return `${isTie ? mantissa.slice(0, -1) + (last - 1) : mantissa}e${exponent}`
}

/** The shortest text that reads back as the same double, with the sign of -0. */
export const numberText = (value: number): string => (Object.is(value, -0) ? '-0' : String(value))
