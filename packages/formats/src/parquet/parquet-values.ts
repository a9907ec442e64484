// Converts the physical values of a Parquet column exactly. hyparquet's own conversions make
// doubles of decimals and milliseconds of times, so it gets the columns of these types without
// their logical type, and this file converts what it decodes.
//
// Source: LogicalTypes.md of apache/parquet-format.

import type { CarriedType } from '@reembed/protocol'
import type { SchemaElement } from 'hyparquet'
import { parseFloat16 } from 'hyparquet/src/convert.js'
import { textOfBytes } from '../value/text-of-bytes.ts'
import {
  bigEndianInteger,
  dateValue,
  decimalValue,
  floatValue,
  type SecondPlaces,
  timestampValue,
  timeValue,
  uuidValue,
} from '../value/typed-value.ts'

/** How a column is decoded, and in which type it is carried. */
export interface ColumnConversion {
  readonly carriedType: CarriedType
  /** Converts a decoded value that is not null. Undefined: hyparquet's value is exact. */
  readonly convert?: (value: never) => unknown
}

const exact = (carriedType: CarriedType): ColumnConversion => ({ carriedType })
const converted = <T>(
  convert: (value: T) => unknown,
  carriedType: CarriedType = 'string',
): ColumnConversion => ({
  carriedType,
  convert,
})

/** @throws Error for a type that cannot be read, by its name */
export function conversionOf(element: SchemaElement): ColumnConversion {
  const { type, converted_type: legacy, logical_type: logical } = element
  if (legacy === 'INTERVAL' || legacy === 'BSON') throw new Error(`values of type ${legacy} cannot be read`)
  if (legacy === 'DECIMAL' || logical?.type === 'DECIMAL') {
    const scale = element.scale ?? (logical?.type === 'DECIMAL' ? logical.scale : 0)
    return converted((value: number | bigint | Uint8Array) =>
      decimalValue(value instanceof Uint8Array ? bigEndianInteger(value) : BigInt(value), scale),
    )
  }
  if (logical?.type === 'TIMESTAMP') {
    const places = PLACES[logical.unit]
    const isUtc = logical.isAdjustedToUTC
    return converted((value: bigint) => timestampValue(value, places, isUtc))
  }
  // The converted types do not state a time zone, and pyarrow reads them without one.
  if (legacy === 'TIMESTAMP_MILLIS') return converted((value: bigint) => timestampValue(value, 3, false))
  if (legacy === 'TIMESTAMP_MICROS') return converted((value: bigint) => timestampValue(value, 6, false))
  if (logical?.type === 'TIME') {
    const places = PLACES[logical.unit]
    return converted((value: number | bigint) => timeValue(value, places))
  }
  if (legacy === 'TIME_MILLIS') return converted((value: number) => timeValue(value, 3))
  if (legacy === 'TIME_MICROS') return converted((value: bigint) => timeValue(value, 6))
  if (legacy === 'DATE' || logical?.type === 'DATE') return converted((value: number) => dateValue(value))
  if (logical?.type === 'FLOAT16') {
    return converted((value: Uint8Array) => floatValue(parseFloat16(value) ?? 0, 16), 'double')
  }
  if (logical?.type === 'UUID') return converted(uuidValue)
  return conversionOfPhysical(type, legacy, logical)
}

function conversionOfPhysical(
  type: SchemaElement['type'],
  legacy: SchemaElement['converted_type'],
  logical: SchemaElement['logical_type'],
): ColumnConversion {
  const isUnsigned = (bits: 32 | 64): boolean =>
    legacy === `UINT_${bits}` ||
    (logical?.type === 'INTEGER' && logical.bitWidth === bits && !logical.isSigned)
  switch (type) {
    case 'BOOLEAN':
      return exact('boolean')
    case 'INT32':
      return exact(isUnsigned(32) ? 'int64' : 'int32')
    case 'INT64':
      return exact(isUnsigned(64) ? 'string' : 'int64')
    case 'DOUBLE':
      return exact('double')
    case 'FLOAT':
      return converted((value: number) => floatValue(value, 32), 'double')
    case 'INT96':
      // Timestamps of Impala and Spark, which do not state whether they are UTC.
      return converted((nanos: bigint) => timestampValue(nanos, 9, false))
    case 'FIXED_LEN_BYTE_ARRAY':
      return converted(textOfBytes)
    default:
      return exact('string')
  }
}

const PLACES: Record<'MILLIS' | 'MICROS' | 'NANOS', SecondPlaces> = { MILLIS: 3, MICROS: 6, NANOS: 9 }

/** The element without its logical type, so that hyparquet returns physical values. */
export function physicalElement({
  converted_type: _,
  logical_type: __,
  ...element
}: SchemaElement): SchemaElement {
  return element
}
