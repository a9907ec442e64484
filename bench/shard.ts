// Measures the cost of writing a shard: CPU per embedding against copying the vectors and against
// parquet-wasm (arrow-rs) with the same columns, uncompressed, without dictionary and statistics;
// and peak memory at three sizes, 4x apart. Every output is read back and compared with the rows.
// Not measured: making the vectors, the content hashes and the put.
//
//   node --conditions=@reembed/source bench/shard.ts

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { Receipt } from '@reembed/protocol'
import {
  type ByteSink,
  createParquetWriter,
  createShardBuffer,
  createShardBufferPool,
  createShardWriter,
  readShard,
  type ShardRows,
  vectorColumns,
} from '@reembed/shard'
import type { Store } from '@reembed/store'
import {
  Field,
  FixedSizeBinary,
  Float32,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableFromIPC,
  tableToIPC,
  Utf8,
} from 'apache-arrow'
import {
  Compression,
  EnabledStatistics,
  readParquet,
  transformParquetStream,
  Table as WasmTable,
  WriterPropertiesBuilder,
} from 'parquet-wasm'

const DIMENSIONS = 768
const ROWS = 50_000
const ROUNDS = 9
/** Rows of one reply of an endpoint. */
const BATCH = 32
/** Rows in each call of parquet-wasm: one row group. */
const GROUP = 16 * Math.floor(2 ** 20 / (4 * DIMENSIONS))

function makeRows(rows: number): ShardRows {
  const vectors = new Float32Array(rows * DIMENSIONS)
  let state = 1
  for (let i = 0; i < vectors.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    vectors[i] = state / 2 ** 31
  }
  const ids = Array.from({ length: rows }, (_, row) => `en-wiki-${String(row * 7919).padStart(10, '0')}`)
  return {
    ids,
    vectors,
    hashes: createHash('shake256', { outputLength: rows * 16 })
      .update('hashes')
      .digest(),
  }
}

function* batches({ ids, hashes, vectors }: ShardRows, size: number): Generator<ShardRows> {
  for (let from = 0; from < ids.length; from += size) {
    yield {
      ids: ids.slice(from, from + size),
      hashes: hashes.subarray(from * 16, (from + size) * 16),
      vectors: vectors.subarray(from * DIMENSIONS, (from + size) * DIMENSIONS),
    }
  }
}

const model = { id: 'm', revision: null, dimensions: DIMENSIONS, pooling: null, normalized: false }
const facts = { run: 'r', shard: 0, shards: 1, spaceId: 's', recipeId: 'r', model, source: [], rejects: [] }

function writeReembed(rows: Iterable<ShardRows>, sink: ByteSink): Receipt {
  const writer = createShardWriter({ dimensions: DIMENSIONS, sink })
  for (const batch of rows) writer.append(batch)
  return writer.finish({ ...facts, documents: writer.rows, tokens: null, truncated: 0, repaired: 0 }).receipt
}

/** The same file without hashes of body and footer. */
function writeUnproven(rows: Iterable<ShardRows>, sink: ByteSink): void {
  const writer = createParquetWriter({ columns: vectorColumns(DIMENSIONS, 'float32'), sink })
  for (const { ids, vectors, hashes } of rows) writer.append(ids.length, [ids, vectors, hashes])
  writer.endBody()
  writer.finish([])
}

/** The file of parquet-wasm with a SHA-256 of its bytes, as a shard has. */
async function writeWasmProven(rows: ShardRows): Promise<string> {
  const hash = createHash('sha256')
  await writeWasm(rows, bytes => hash.update(bytes))
  return hash.digest('hex')
}

/**
 * Arrow columns around the same memory, made by hand: apache-arrow's builders would cost more than
 * the writing.
 */
function arrowBatch({ ids, hashes, vectors }: ShardRows): RecordBatch {
  const length = ids.length
  const text = Buffer.from(ids.join(''))
  const textOffsets = new Int32Array(length + 1)
  for (const [row, id] of ids.entries())
    textOffsets[row + 1] = (textOffsets[row] ?? 0) + Buffer.byteLength(id)
  const element = new Field('element', new Float32(), false)
  const columns = [
    makeData({ type: new Utf8(), length, nullCount: 0, valueOffsets: textOffsets, data: text }),
    makeData({
      type: new List(element),
      length,
      nullCount: 0,
      valueOffsets: Int32Array.from({ length: length + 1 }, (_, row) => row * DIMENSIONS),
      child: makeData({ type: element.type, length: vectors.length, nullCount: 0, data: vectors }),
    }),
    makeData({ type: new FixedSizeBinary(16), length, nullCount: 0, data: hashes }),
  ]
  const fields = ['id', 'embedding', 'content_hash'].map((name, i) => {
    const type = columns[i]?.type
    if (!type) throw new Error('a column is missing')
    return new Field(name, type, false)
  })
  const schema = new Schema(fields)
  return new RecordBatch(
    schema,
    makeData({ type: new Struct(fields), length, nullCount: 0, children: columns }),
  )
}

async function writeWasm(rows: ShardRows, sink: ByteSink): Promise<void> {
  const properties = new WriterPropertiesBuilder()
    .setCompression(Compression.UNCOMPRESSED)
    .setDictionaryEnabled(false)
    .setStatisticsEnabled(EnabledStatistics.None)
    .setMaxRowGroupSize(GROUP)
    .build()
  const groups = batches(rows, GROUP)
  const stream = new ReadableStream({
    pull(controller) {
      const { value } = groups.next()
      if (!value) return controller.close()
      const ipc = tableToIPC(new Table([arrowBatch(value)]), 'stream')
      for (const batch of WasmTable.fromIPCStream(ipc).recordBatches()) controller.enqueue(batch)
    },
  })
  for await (const bytes of await transformParquetStream(stream, properties)) sink(bytes)
}

/** Copies only the vectors, into fresh memory each time. */
function copyVectors({ vectors }: ShardRows): Float32Array {
  return vectors.slice()
}

function collect(): { sink: ByteSink; bytes(): Buffer } {
  const parts: Uint8Array[] = []
  return { sink: bytes => parts.push(bytes.slice()), bytes: () => Buffer.concat(parts) }
}

const same = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))

async function checkReembed(bytes: Uint8Array, rows: ShardRows): Promise<void> {
  const store = {
    url: 'memory',
    head: async (key: string) => ({ key, size: bytes.length, etag: '' }),
    get: async (_key: string, { start = 0, end = bytes.length } = {}) => bytes.subarray(start, end),
  } as unknown as Store
  let from = 0
  for await (const { ids, vectors, hashes } of readShard(store, 'shard')) {
    const to = from + ids.length
    const equal =
      ids.every((id, row) => id === rows.ids[from + row]) &&
      same(vectors, rows.vectors.subarray(from * DIMENSIONS, to * DIMENSIONS)) &&
      Buffer.from(hashes).equals(rows.hashes.subarray(from * 16, to * 16))
    if (!equal) throw new Error(`reembed: rows ${from} to ${to} are not what was written`)
    from = to
  }
  if (from !== rows.ids.length) throw new Error(`reembed: ${from} rows were read back`)
}

function checkWasm(bytes: Uint8Array, rows: ShardRows): void {
  const table = tableFromIPC(readParquet(bytes).intoIPCStream())
  if (table.numRows !== rows.ids.length) throw new Error(`parquet-wasm: ${table.numRows} rows were read back`)
  for (let row = 0; row < rows.ids.length; row += 997) {
    const vector: Float32Array = table.getChild('embedding')?.get(row).toArray()
    const expected = rows.vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
    if (table.getChild('id')?.get(row) !== rows.ids[row] || !same(vector, expected)) {
      throw new Error(`parquet-wasm: row ${row} is not what was written`)
    }
  }
}

/** Only SHA-256 of the vectors: the floor for any writer that hashes its bytes. */
function hashVectors({ vectors }: ShardRows): string {
  const hash = createHash('sha256')
  for (let at = 0; at < vectors.length; at += BATCH * DIMENSIONS)
    hash.update(vectors.subarray(at, at + BATCH * DIMENSIONS))
  return hash.digest('hex')
}

/** Microseconds of CPU, all threads, per embedding. */
async function cpuOf(work: () => unknown): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / ROWS
}

const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

async function measureCpu(): Promise<void> {
  const rows = makeRows(ROWS)
  const discard: ByteSink = () => {}
  const buffers = createShardBufferPool()
  const runs = {
    'copy of the vectors': () => copyVectors(rows),
    'SHA-256 of the vectors': () => hashVectors(rows),
    'reembed, discarded': () => writeReembed(batches(rows, BATCH), discard),
    'reembed without SHA-256, discarded': () => writeUnproven(batches(rows, BATCH), discard),
    'reembed, into fresh memory': () => writeReembed(batches(rows, BATCH), createShardBuffer().sink),
    'reembed, as a worker does': () => {
      const again = buffers.acquire()
      writeReembed(batches(rows, BATCH), again.sink)
      buffers.release(again)
    },
    'parquet-wasm, discarded': () => writeWasm(rows, discard),
    'parquet-wasm with SHA-256, discarded': () => writeWasmProven(rows),
  }

  const buffer = createShardBuffer()
  writeReembed(batches(rows, BATCH), buffer.sink)
  await checkReembed(buffer.bytes(), rows)
  const other = collect()
  await writeWasm(rows, other.sink)
  checkWasm(other.bytes(), rows)

  const measured = new Map(Object.keys(runs).map(name => [name, [] as number[]]))
  // The first round warms up. Every other round runs in reverse order.
  for (let round = 0; round <= ROUNDS; round++) {
    const turns = Object.entries(runs)
    for (const [name, run] of round % 2 ? turns : turns.toReversed()) {
      const cpu = await cpuOf(run)
      if (round > 0) measured.get(name)?.push(cpu)
    }
  }
  const of = (name: keyof typeof runs): number => median(measured.get(name) ?? [])
  console.log(`CPU per embedding, ${ROWS} x ${DIMENSIONS}, median of ${ROUNDS}, all outputs read back equal`)
  for (const name of measured.keys()) {
    console.log(
      `  ${name.padEnd(37)} ${of(name as keyof typeof runs)
        .toFixed(2)
        .padStart(6)} us`,
    )
  }
  const share = (ours: keyof typeof runs, theirs: keyof typeof runs): string =>
    `1/${(of(theirs) / of(ours)).toFixed(1)}`
  console.log(
    `  reembed takes of parquet-wasm's CPU: ${share('reembed without SHA-256, discarded', 'parquet-wasm, discarded')} both without SHA-256 of the body, ${share('reembed, discarded', 'parquet-wasm with SHA-256, discarded')} both with it, ${share('reembed, discarded', 'parquet-wasm, discarded')} if only reembed proves what it writes`,
  )
}

/**
 * Writes the same four row groups repeatedly to no output and prints the peak memory of the
 * process.
 */
function measureMemoryHere(rows: number): void {
  const pool = makeRows(4 * GROUP)
  const all = function* (): Generator<ShardRows> {
    for (let left = rows; left > 0; left -= pool.ids.length) {
      yield* batches(pool, BATCH)
    }
  }
  const before = process.memoryUsage.rss()
  let peak = before
  writeReembed(all(), () => {
    peak = Math.max(peak, process.memoryUsage.rss())
  })
  console.log(JSON.stringify({ before: before / 2 ** 20, peak: peak / 2 ** 20 }))
}

function measureMemory(): void {
  const peaks = [ROWS, 4 * ROWS, 16 * ROWS].map(rows => {
    const out = execFileSync(process.execPath, [...process.execArgv, import.meta.filename, String(rows)])
    const { before, peak } = JSON.parse(out.toString())
    console.log(
      `  ${String(rows).padStart(6)} rows   ${peak.toFixed(0)} MiB at the peak, ${(peak - before).toFixed(0)} MiB over the start`,
    )
    return peak as number
  })
  for (const [i, peak] of peaks.entries()) {
    const before = peaks[i - 1]
    if (before) console.log(`  4x the rows: ${((100 * peak) / before - 100).toFixed(1)}% more memory`)
  }
}

const rows = process.argv[2]
if (rows) {
  measureMemoryHere(Number(rows))
} else {
  await measureCpu()
  console.log('\nPeak memory of the process, written to nowhere')
  measureMemory()
}
