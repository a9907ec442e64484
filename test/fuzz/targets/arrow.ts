// Arrow IPC, files and streams, plain and packed: each row that its messages claim is a record or a
// reject, or the object is refused.

import { zstdCompressSync } from 'node:zlib'
import {
  CompressionType,
  compressionRegistry,
  Int32,
  RecordBatchStreamWriter,
  Table,
  tableFromJSON,
  tableToIPC,
  Utf8,
  vectorFromArray,
} from 'apache-arrow'
import { readTable } from '../tables.ts'
import { choicesOf, must, type Target } from '../target.ts'

const HEAD = Buffer.from([255, 90])
const ROWS = 7

const documents = Array.from({ length: ROWS }, (_, i) => ({
  id: `d${i}`,
  text: `text ${i % 3}`,
  n: i,
  flag: i % 2 === 0,
}))
const plain = (): Table =>
  new Table({
    id: vectorFromArray(
      documents.map(({ id }) => id),
      new Utf8(),
    ),
    text: vectorFromArray(
      documents.map(({ text, n }) => (n % 4 === 0 ? null : text)),
      new Utf8(),
    ),
    n: vectorFromArray(
      documents.map(({ n }) => n),
      new Int32(),
    ),
  })

/** A frame whose one block is not packed, which every decoder must take. */
function lz4Frame(bytes: Uint8Array): Uint8Array {
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0])
  head.writeUInt32LE((bytes.length | 0x80000000) >>> 0, 7)
  return Buffer.concat([head, bytes, Buffer.alloc(4)])
}

function packed(type: CompressionType, encode: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const codec = compressionRegistry.get(type)
  compressionRegistry.set(type, { ...codec, encode })
  return RecordBatchStreamWriter.writeAll(plain(), { compressionType: type }).toUint8Array(true)
}

const seeds = (): Buffer[] =>
  [
    tableToIPC(plain(), 'stream'),
    tableToIPC(plain(), 'file'),
    tableToIPC(tableFromJSON(documents), 'stream'),
    tableToIPC(tableFromJSON(documents), 'file'),
    packed(CompressionType.ZSTD, zstdCompressSync),
    packed(CompressionType.LZ4_FRAME, lz4Frame),
  ].map(file => Buffer.concat([HEAD, file]))

let made: Buffer[] | undefined

export const target: Target = {
  what: 'Arrow IPC: files, streams, dictionaries, packed buffers',
  maxBytes: 6_000,
  maxMiB: 400,
  seeds() {
    made ??= seeds()
    return made
  },
  async check(input) {
    const records = await readTable('arrow', choicesOf(input, 2))
    const isSeed = made?.some(seed => seed.equals(input))
    if (isSeed) must(records?.length === ROWS, () => `a good file gave ${records?.length} of ${ROWS} records`)
  },
}
