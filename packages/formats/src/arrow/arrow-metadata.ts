// Checks the metadata of an Arrow message before apache-arrow decodes it. The metadata is a
// flatbuffer: tables, vectors and strings that are found by offsets. The length of a vector is
// unverified, and offsets may lead to one table many times or in a cycle. apache-arrow makes an
// object for each visit, so a file of 786 bytes can exhaust memory.
//
// Sources: flatbuffers.dev/internals, and format/{Message,Schema,File}.fbs of apache/arrow for the
// field numbers.

import { MessageHeader } from 'apache-arrow'

/**
 * Bytes that may be visited for each byte of metadata. Writers share few tables, so valid files
 * stay far below it.
 */
const MAX_GROWTH = 16

/** Offset of a table in the metadata. */
type Table = number

/** @throws RangeError for a message that claims more than its bytes can hold */
export function checkMessage(bytes: Uint8Array): void {
  const reader = createReader(bytes)
  const message = reader.root()
  checkKeyValues(reader, message, 4)
  const header = reader.table(message, 2)
  if (header === undefined) return
  const type = reader.byte(message, 1)
  const batch = type === MessageHeader.DictionaryBatch ? reader.table(header, 1) : header
  if (type === MessageHeader.Schema) checkSchema(reader, header)
  else if (batch !== undefined) checkBatch(reader, batch)
}

/** @throws RangeError for a file footer that claims more than its bytes can hold */
export function checkFooter(bytes: Uint8Array): void {
  const reader = createReader(bytes)
  const footer = reader.root()
  const schema = reader.table(footer, 1)
  if (schema !== undefined) checkSchema(reader, schema)
  for (const blocks of [2, 3]) reader.vector(footer, blocks, 24)
}

function checkSchema(reader: Reader, schema: Table): void {
  for (const field of reader.tables(schema, 1)) checkField(reader, field)
  checkKeyValues(reader, schema, 2)
}

/** A column whose type is valid but cannot be read. Its message follows the name of the object. */
export class UnsupportedColumn extends Error {}

/** Types of Schema.fbs that apache-arrow for JavaScript does not have. */
const UNSUPPORTED: ReadonlyMap<number, string> = new Map([
  [22, 'run-end encoded'],
  [25, 'a list view'],
  [26, 'a large list view'],
])

/** Terminates for cyclic fields because each step spends from the limit. */
function checkField(reader: Reader, field: Table): void {
  reader.vector(field, 0, 1)
  const unsupported = UNSUPPORTED.get(reader.byte(field, 2))
  if (unsupported !== undefined) {
    const name = JSON.stringify(reader.text(field, 0))
    throw new UnsupportedColumn(
      `has a column ${name} that is ${unsupported}, which is not supported: write it as a plain column or list`,
    )
  }
  for (const child of reader.tables(field, 5)) checkField(reader, child)
  checkKeyValues(reader, field, 6)
}

function checkBatch(reader: Reader, batch: Table): void {
  reader.vector(batch, 1, 16)
  const buffers = reader.vector(batch, 2, 16).length
  const variadic = reader.vector(batch, 4, 8)
  let claimed = 0n
  for (let i = 0; i < variadic.length; i++) claimed += reader.int64(variadic.at + 8 * i)
  if (claimed < 0n || claimed > buffers) throw new RangeError(`it claims ${claimed} of ${buffers} buffers`)
}

function checkKeyValues(reader: Reader, table: Table, field: number): void {
  for (const entry of reader.tables(table, field)) {
    reader.vector(entry, 0, 1)
    reader.vector(entry, 1, 1)
  }
}

interface Reader {
  root(): Table
  byte(table: Table, field: number): number
  table(table: Table, field: number): Table | undefined
  tables(table: Table, field: number): Generator<Table>
  /** Offset and number of the elements. A string is a vector of bytes. */
  vector(table: Table, field: number, elementBytes: number): { readonly at: number; readonly length: number }
  int64(at: number): bigint
  text(table: Table, field: number): string
}

/** Reads by DataView, which throws a RangeError outside of the metadata. */
function createReader(bytes: Uint8Array): Reader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let left = MAX_GROWTH * bytes.length

  function spend(amount: number): void {
    left -= amount
    if (left < 0) throw new RangeError('its metadata refers to the same bytes too often')
  }

  /** Offset of a field, or undefined if the table lacks it. */
  function place(table: Table, field: number): number | undefined {
    const vtable = table - view.getInt32(table, true)
    const at = 4 + 2 * field
    const offset = at < view.getUint16(vtable, true) ? view.getUint16(vtable + at, true) : 0
    return offset === 0 ? undefined : table + offset
  }

  const target = (at: number): number => at + view.getInt32(at, true)

  function vector(table: Table, field: number, elementBytes: number) {
    const at = place(table, field)
    if (at === undefined) return { at: 0, length: 0 }
    const start = target(at)
    const length = view.getUint32(start, true)
    spend(4 + length * elementBytes)
    if (start + 4 + length * elementBytes > bytes.length) {
      throw new RangeError(`it claims ${length} elements in ${bytes.length} bytes of metadata`)
    }
    return { at: start + 4, length }
  }

  return {
    root: () => target(0),
    byte(table, field) {
      const at = place(table, field)
      return at === undefined ? 0 : view.getUint8(at)
    },
    table(table, field) {
      const at = place(table, field)
      return at === undefined ? undefined : target(at)
    },
    *tables(table, field) {
      const { at, length } = vector(table, field, 4)
      for (let i = 0; i < length; i++) yield target(at + 4 * i)
    },
    vector,
    int64: at => view.getBigInt64(at, true),
    text(table, field) {
      const { at, length } = vector(table, field, 1)
      return new TextDecoder().decode(bytes.subarray(at, at + length))
    },
  }
}
