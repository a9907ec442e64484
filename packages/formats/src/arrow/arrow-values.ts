// Reads the values of an Arrow column exactly. apache-arrow's own accessors shorten times to
// milliseconds, ignore the scale of decimals, and replace bytes that are not UTF-8, so this file
// reads the buffers of all types that it does not return as they are.

import {
  Binary,
  BinaryView,
  type Data,
  DataType,
  DateUnit,
  type Field,
  LargeBinary,
  Precision,
  TimeUnit,
  UnionMode,
  Vector,
} from 'apache-arrow'
import { mapValue } from '../value/map-value.ts'
import { requireNames } from '../value/one-name.ts'
import { textOfBytes } from '../value/text-of-bytes.ts'
import {
  dateValue,
  decimalValue,
  durationValue,
  floatValue,
  type SecondPlaces,
  timestampValue,
  timeValue,
  uuidValue,
} from '../value/typed-value.ts'

/** Reads the value of one row. */
export type CellReader = (row: number) => unknown

const PLACES: Record<TimeUnit, SecondPlaces> = {
  [TimeUnit.SECOND]: 0,
  [TimeUnit.MILLISECOND]: 3,
  [TimeUnit.MICROSECOND]: 6,
  [TimeUnit.NANOSECOND]: 9,
}
const DAY_MS = 86_400_000n

/** Reads the values of a column. @throws Error for a type that cannot be read, by its name */
export function cellsOf(vector: Vector, field?: Field): CellReader {
  const [only, ...more] = vector.data
  if (only === undefined) return () => null
  if (more.length === 0) return cellsOfData(only, field)
  const chunks = vector.data.map(data => ({ read: cellsOfData(data, field), length: data.length }))
  return row => {
    let at = row
    for (const { read, length } of chunks) {
      if (at < length) return read(at)
      at -= length
    }
    return null
  }
}

function cellsOfData(data: Data, field?: Field): CellReader {
  const read = valuesOf(data, field)
  return row => (data.getValid(row) ? read(row) : null)
}

function valuesOf(data: Data, field?: Field): CellReader {
  const { type, children } = data
  const { values } = data as { readonly values: ArrayLike<number> & ArrayLike<bigint> }
  const number = (row: number): number => (values as ArrayLike<number>)[row] ?? 0
  const count = (row: number): bigint => BigInt((values as ArrayLike<number | bigint>)[row] ?? 0)
  if (DataType.isUtf8(type) || DataType.isLargeUtf8(type) || DataType.isUtf8View(type)) return textsOf(data)
  if (isBytes(type)) {
    const bytes = plainCells(data)
    return field?.metadata.get('ARROW:extension:name') === 'arrow.uuid'
      ? row => uuidValue(bytes(row) as Uint8Array)
      : row => textOfBytes(bytes(row) as Uint8Array)
  }
  if (DataType.isFloat(type)) {
    if (type.precision === Precision.DOUBLE) return number
    const bits = type.precision === Precision.SINGLE ? 32 : 16
    const floats = plainCells(data)
    return row => floatValue(floats(row) as number, bits)
  }
  if (DataType.isDecimal(type)) {
    const { scale } = type
    const words = data.values as Uint32Array
    const stride = type.bitWidth / 32
    return row => decimalValue(integerOfWords(words, row * stride, stride), scale)
  }
  if (DataType.isDate(type)) {
    if (type.unit === DateUnit.DAY) return row => dateValue(number(row))
    return row => {
      const ms = count(row)
      return ms % DAY_MS === 0n ? dateValue(Number(ms / DAY_MS)) : timestampValue(ms, 3, false)
    }
  }
  if (DataType.isTimestamp(type)) {
    const isUtc = Boolean(type.timezone)
    return row => timestampValue(count(row), PLACES[type.unit], isUtc)
  }
  if (DataType.isTime(type)) return row => timeValue(count(row), PLACES[type.unit])
  if (DataType.isDuration(type)) return row => durationValue(count(row), PLACES[type.unit])
  if (DataType.isDictionary(type)) {
    if (data.dictionary === undefined) throw new Error('a dictionary is missing')
    const entries = cellsOf(data.dictionary, field)
    return row => entries(Number((values as ArrayLike<number | bigint>)[row]))
  }
  if (DataType.isStruct(type)) {
    const members = children.map((child, i) => {
      const member = type.children[i]
      return { name: member?.name ?? '', read: cellsOfData(child, member) }
    })
    requireNames(members.map(({ name }) => name))
    return row => Object.fromEntries(members.map(({ name, read }) => [name, read(row)]))
  }
  if (DataType.isMap(type)) return mapsOf(data)
  if (DataType.isList(type) || DataType.isLargeList(type) || DataType.isFixedSizeList(type)) {
    return listsOf(data)
  }
  if (DataType.isUnion(type)) {
    const members = children.map((child, i) => cellsOfData(child, type.children[i]))
    const { typeIds, valueOffsets } = data as unknown as { typeIds: Int8Array; valueOffsets: Int32Array }
    return row => {
      const member = type.typeIdToChildIndex[typeIds[row] ?? 0] ?? 0
      return members[member]?.(type.mode === UnionMode.Dense ? (valueOffsets[row] ?? 0) : row) ?? null
    }
  }
  if (DataType.isNull(type) || DataType.isBool(type) || DataType.isInt(type)) return plainCells(data)
  throw new Error(`values of type ${type} cannot be read`)
}

const isBytes = (type: DataType): boolean =>
  DataType.isBinary(type) ||
  DataType.isLargeBinary(type) ||
  DataType.isBinaryView(type) ||
  DataType.isFixedSizeBinary(type)

/** apache-arrow's own accessor, for types that it returns exactly. */
function plainCells(data: Data): CellReader {
  const vector = new Vector([data])
  return row => vector.get(row)
}

/** apache-arrow decodes bytes that are not UTF-8 with U+FFFD: only then, the bytes are read. */
function textsOf(data: Data): CellReader {
  const texts = plainCells(data)
  const { type } = data
  const asBytes = DataType.isUtf8View(type)
    ? new BinaryView()
    : DataType.isLargeUtf8(type)
      ? new LargeBinary()
      : new Binary()
  let bytes: CellReader | undefined
  return row => {
    const text = texts(row)
    if (typeof text !== 'string' || !text.includes('\uFFFD')) return text
    bytes ??= plainCells(data.clone(asBytes as unknown as typeof type))
    return textOfBytes(bytes(row) as Uint8Array)
  }
}

/** Offsets of the elements of each row in the child of a list or map. */
function boundsOf(data: Data): (row: number) => readonly [number, number] {
  const { type } = data
  if (DataType.isFixedSizeList(type)) return row => [row * type.listSize, (row + 1) * type.listSize]
  const offsets = data.valueOffsets as unknown as ArrayLike<number | bigint>
  return row => [Number(offsets[row]), Number(offsets[row + 1])]
}

function listsOf(data: Data): CellReader {
  const [child] = data.children
  if (child === undefined) return () => []
  const bounds = boundsOf(data)
  const read = cellsOfData(child, data.type.children[0])
  return row => {
    const [from, to] = bounds(row)
    return Array.from({ length: to - from }, (_, i) => read(from + i))
  }
}

/** A map becomes an object; one with a key twice cannot. */
function mapsOf(data: Data): CellReader {
  const [entries] = data.children
  const [keyData, valueData] = entries?.children ?? []
  if (keyData === undefined || valueData === undefined) return () => ({})
  const [keyField, valueField] = data.type.children[0]?.type.children ?? []
  const bounds = boundsOf(data)
  const key = cellsOfData(keyData, keyField)
  const value = cellsOfData(valueData, valueField)
  return row => {
    const [from, to] = bounds(row)
    return mapValue(Array.from({ length: to - from }, (_, i) => [key(from + i), value(from + i)]))
  }
}

/** Two's complement in 32-bit words, the least significant first. */
function integerOfWords(words: Uint32Array, start: number, count: number): bigint {
  let value = 0n
  for (let i = count - 1; i >= 0; i--) value = (value << 32n) | BigInt(words[start + i] ?? 0)
  return BigInt.asIntN(32 * count, value)
}
