// Arrow IPC files and Arrow tables of the same columns, with vectors as fixed-size lists, and the
// schema hint for Parquet. The only module of the package that uses apache-arrow. It loads the
// library on use: it is large, and most runs need none.

import type { CarriedValue } from '@reembed/protocol'
import type { ParquetColumn, VectorElement } from './columns.ts'
import { bytesOf } from './flat.ts'
import type { ByteSink } from './shard-buffer.ts'
import type { ColumnValues } from './writer.ts'

type Arrow = typeof import('apache-arrow')
type ArrowField = InstanceType<Arrow['Field']>
type ArrowTable = InstanceType<Arrow['Table']>
type ArrowData = InstanceType<Arrow['Data']>

/** Writes an Arrow IPC file to a sink. */
export interface ArrowWriter {
  /**
   * Writes one record batch, with values in column order. Float16 vectors are passed as the bits of
   * their values.
   */
  append(rows: number, values: readonly ColumnValues[]): void
  finish(): void
}

export interface ArrowWriterOptions {
  readonly columns: readonly ParquetColumn[]
  readonly sink: ByteSink
  /** Metadata of the schema. */
  readonly metadata?: ReadonlyMap<string, string>
}

/** Makes a writer of an Arrow IPC file. */
export async function createArrowWriter({
  columns,
  sink,
  metadata,
}: ArrowWriterOptions): Promise<ArrowWriter> {
  const arrow = await import('apache-arrow')
  const { AsyncByteQueue, RecordBatchFileWriter } = arrow
  const schema = schemaOf(arrow, columns, metadata)
  // The queue of the library would hold the whole file, so its bytes are passed on at once.
  class Through extends AsyncByteQueue {
    override write(bytes: Uint8Array): void {
      sink(bytes)
    }
  }
  const writer = new RecordBatchFileWriter()
  writer.reset(new Through(), schema)
  return {
    append(rows, values) {
      writer.write(recordBatchOf(arrow, schema, columns, { rows, values }))
    },
    finish() {
      writer.finish()
    },
  }
}

/** One record batch, with values in column order, as `ArrowWriter.append` takes them. */
export interface ArrowBatch {
  readonly rows: number
  readonly values: readonly ColumnValues[]
}

/** Makes a table in memory, which holds the given vectors and hashes without a copy. */
export async function arrowTableOf(
  columns: readonly ParquetColumn[],
  batches: readonly ArrowBatch[],
  metadata?: ReadonlyMap<string, string>,
): Promise<ArrowTable> {
  const arrow = await import('apache-arrow')
  const schema = schemaOf(arrow, columns, metadata)
  return new arrow.Table(
    schema,
    batches.map(batch => recordBatchOf(arrow, schema, columns, batch)),
  )
}

function recordBatchOf(
  arrow: Arrow,
  schema: ReturnType<typeof schemaOf>,
  columns: readonly ParquetColumn[],
  { rows: length, values }: ArrowBatch,
) {
  const { makeData, RecordBatch, Struct } = arrow
  const children = columns.map((column, index) => dataOf(arrow, column, length, values[index] ?? []))
  return new RecordBatch(
    schema,
    makeData({ type: new Struct(schema.fields), length, nullCount: 0, children }),
  )
}

/**
 * The value of `ARROW:schema` in a Parquet file: the schema as a message of Arrow's stream format,
 * in base64.
 */
export async function arrowSchemaOf(columns: readonly ParquetColumn[]): Promise<string> {
  const arrow = await import('apache-arrow')
  const stream = arrow.tableToIPC(new arrow.Table(schemaOf(arrow, columns)), 'stream')
  const END_OF_STREAM = 8
  return Buffer.from(stream.subarray(0, stream.length - END_OF_STREAM)).toString('base64')
}

function schemaOf(arrow: Arrow, columns: readonly ParquetColumn[], metadata?: ReadonlyMap<string, string>) {
  const fields = columns.map(column => fieldOf(arrow, column))
  return new arrow.Schema(fields, new Map(metadata))
}

function fieldOf(arrow: Arrow, column: ParquetColumn): ArrowField {
  const { Bool, Field, FixedSizeBinary, FixedSizeList, Float64, Int32, Int64, Utf8 } = arrow
  switch (column.kind) {
    case 'fixed':
      return new Field(column.name, new FixedSizeBinary(column.bytes), false)
    case 'vector':
      return new Field(
        column.name,
        new FixedSizeList(column.dimensions, new Field('element', elementOf(arrow, column.element), false)),
        false,
      )
    case 'flat': {
      const types = { string: Utf8, int32: Int32, int64: Int64, double: Float64, boolean: Bool }
      return new Field(column.name, new types[column.type](), column.nullable)
    }
  }
}

function elementOf({ Float16, Float32, Int8, Uint8 }: Arrow, element: VectorElement) {
  const types = { float32: Float32, float16: Float16, int8: Int8, uint8: Uint8 }
  return new types[element]()
}

function dataOf(arrow: Arrow, column: ParquetColumn, length: number, values: ColumnValues): ArrowData {
  const { Bool, FixedSizeBinary, Float64, Int32, Int64, makeData, Utf8 } = arrow
  if (column.kind === 'fixed') {
    const type = new FixedSizeBinary(column.bytes)
    return makeData({ type, length, nullCount: 0, data: bytesOf(values as Uint8Array) })
  }
  const { type: listType } = fieldOf(arrow, column)
  if (column.kind === 'vector') {
    const child = makeData({
      // Each of the four types accepts its typed array.
      type: elementOf(arrow, column.element) as InstanceType<Arrow['Float32']>,
      length: length * column.dimensions,
      nullCount: 0,
      data: values as Float32Array,
    })
    return makeData({ type: listType as InstanceType<Arrow['FixedSizeList']>, length, nullCount: 0, child })
  }
  const flat = values as readonly CarriedValue[]
  const nulls = { length, ...nullsOf(flat) }
  switch (column.type) {
    case 'string':
      return makeData({ type: new Utf8(), ...nulls, ...stringsOf(flat as readonly (string | null)[]) })
    case 'int32':
      return makeData({ type: new Int32(), ...nulls, data: fill(new Int32Array(length), flat, Number) })
    case 'int64':
      return makeData({ type: new Int64(), ...nulls, data: fill(new BigInt64Array(length), flat, BigInt) })
    case 'double':
      return makeData({ type: new Float64(), ...nulls, data: fill(new Float64Array(length), flat, Number) })
    case 'boolean':
      return makeData({ type: new Bool(), ...nulls, data: bitsOf(flat, value => value === true) })
  }
}

/**
 * Sets the values that are not null. `from` of a typed array, which takes any iterable, needs about
 * five times as long.
 */
function fill<Value, Values extends { [index: number]: Value }>(
  filled: Values,
  values: readonly CarriedValue[],
  of: (value: Exclude<CarriedValue, null>) => Value,
): Values {
  for (let row = 0; row < values.length; row++) {
    const value = values[row]
    if (value !== null && value !== undefined) (filled as { [index: number]: Value })[row] = of(value)
  }
  return filled
}

function nullsOf(values: readonly CarriedValue[]): { nullCount: number; nullBitmap?: Uint8Array } {
  let nullCount = 0
  for (let row = 0; row < values.length; row++) if (values[row] === null) nullCount += 1
  return nullCount === 0 ? { nullCount } : { nullCount, nullBitmap: bitsOf(values, value => value !== null) }
}

function bitsOf(values: readonly CarriedValue[], isSet: (value: CarriedValue) => boolean): Uint8Array {
  const bits = new Uint8Array(Math.ceil(values.length / 8))
  for (let row = 0; row < values.length; row++)
    if (isSet(values[row] ?? null)) bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7))
  return bits
}

function stringsOf(values: readonly (string | null)[]): { valueOffsets: Int32Array; data: Uint8Array } {
  const text = values.join('')
  const data = Buffer.from(text)
  // Then each string has as many bytes as units: ASCII.
  const isAscii = data.length === text.length
  const valueOffsets = new Int32Array(values.length + 1)
  let end = 0
  for (let row = 0; row < values.length; row++) {
    const value = values[row] ?? ''
    end += isAscii ? value.length : Buffer.byteLength(value)
    valueOffsets[row + 1] = end
  }
  return { valueOffsets, data }
}
