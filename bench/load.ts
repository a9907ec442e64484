// Measures how fast a run is loaded into a vector store, without indexes, beside the plainest loop
// of the store's own client for Python over the same shards: COPY by psycopg, `add` of LanceDB,
// `upsert` of Milvus. `psql` copies ready binary files besides: what the server can take.
// `add` of LanceDB's client for Node takes Arrow tables that were made before: what its part is.
// Alternated rounds; the best of each, because other work on the machine only adds, and the median.
//
//   REEMBED_TEST_POSTGRES=<bin> REEMBED_TEST_MILVUS=<bin> REEMBED_TEST_PYTHON=<python with lancedb, pymilvus> \
//     node --conditions=@reembed/source bench/load.ts [rows x dimensions = 100000x384] [rounds = 3] [stores]
//
// The last load of each store is counted, and a sample of it compared bit by bit. Not measured: the
// indexes, a server on another machine.

import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { columnsOf, columnsUnder, exportRun, rowsOf, shardsOf } from '@reembed/export'
import { readLoadOrders } from '@reembed/protocol'
import { arrowTableOf, type ParquetColumn } from '@reembed/shard'
import { mapConcurrent } from '@reembed/shared'
import { loadRun, openVectorStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { startMilvus } from '../test/parts/milvus.ts'
import { PYTHON } from '../test/parts/needs.ts'
import { startPostgres } from '../test/parts/postgres.ts'
import { publishedRun } from './load/published-run.ts'

const [, , size = '100000x384', rounds = '3', stores = 'postgres,lancedb,milvus'] = process.argv

const folder = await mkdtemp(join(tmpdir(), 'reembed-load-'))
await using output = await openStore(join(folder, 'output'), { create: true })
const { manifest, rows, dimensions } = await publishedRun(output, size)
const { run } = manifest

/** A tool that loads the same rows. */
interface Tool {
  readonly name: string
  /** Seconds that it took to make the files that it reads; undefined if it reads the shards. */
  readonly prepared?: number
  /** Loads, and returns the seconds. */
  load(): Promise<number>
}

/** A store under test: where we load, and its own tools. */
interface Rival extends AsyncDisposable {
  readonly url: string
  readonly tools: readonly Tool[]
}

const RIVALS: Readonly<Record<string, () => Promise<Rival>>> = {
  async postgres() {
    const server = await startPostgres()
    const bin = process.env.REEMBED_TEST_POSTGRES
    const psql = bin === undefined ? 'psql' : join(bin, 'psql')
    const sql = (...args: string[]): string =>
      outputOf(psql, [server.url, '-qAt', '-v', 'ON_ERROR_STOP=1', ...args])
    await using files = await openStore(join(folder, 'pgvector'), { create: true })
    const begun = performance.now()
    await exportRun(output, manifest, files, { layout: 'pgvector' })
    const prepared = (performance.now() - begun) / 1_000
    const schema = await readFile(join(files.url, 'schema.sql'), 'utf8')
    const data = (await readdir(join(files.url, 'data'))).map(name => join(files.url, 'data', name))
    return {
      url: server.url,
      tools: [
        { name: 'psycopg, COPY', load: async () => byPython('postgres', server.url) },
        {
          name: 'psql, COPY of ready files',
          prepared,
          async load() {
            sql('-c', 'CREATE EXTENSION IF NOT EXISTS vector', '-c', 'DROP TABLE IF EXISTS embeddings')
            sql('-c', schema.replace(/,\s*PRIMARY KEY \(id\)/, ''))
            const copies = data.flatMap(file => [
              '-c',
              `\\copy embeddings FROM '${file}' WITH (FORMAT binary)`,
            ])
            const started = performance.now()
            sql(...copies)
            const seconds = (performance.now() - started) / 1_000
            requireRows(Number(sql('-c', 'SELECT count(*) FROM embeddings')))
            return seconds
          },
        },
      ],
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
  async lancedb() {
    return {
      url: `lancedb:${join(folder, 'lance')}`,
      tools: [
        {
          name: 'lancedb for Python',
          async load() {
            const seconds = byPython('lancedb', join(folder, 'plain'))
            await rm(join(folder, 'plain'), { recursive: true })
            return seconds
          },
        },
        { name: '`add` of lancedb for Node, of ready Arrow tables', load: addByNode },
      ],
      async [Symbol.asyncDispose]() {},
    }
  },
  async milvus() {
    const server = await startMilvus()
    return {
      url: `milvus+http://${server.host}`,
      tools: [
        { name: 'pymilvus, Milvus Lite', load: async () => byPython('milvus', `http://${server.host}`) },
      ],
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
}

function outputOf(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw error ?? new Error(stderr)
  return stdout.trim()
}

function byPython(kind: string, url: string): number {
  const shards = join(output.url, 'runs', run, 'data')
  const printed = outputOf(PYTHON, [join(import.meta.dirname, 'load/plain.py'), kind, url, shards])
  const [found = 0, seconds = 0] = (printed.split('\n').at(-1) ?? '').split(' ').map(Number)
  requireRows(found)
  return seconds
}

interface NodeClient {
  connect(uri: string): Promise<{
    createEmptyTable(
      name: string,
      schema: unknown,
    ): Promise<{
      add(data: unknown): Promise<unknown>
      countRows(): Promise<number>
    }>
    close(): void
  }>
}

/** As many at a time as a load. */
async function addByNode(): Promise<number> {
  const client: NodeClient = await import('@lancedb/lancedb' as string)
  const columns = columnsOf(manifest, { identifiers: true })
  const written: ParquetColumn[] = [
    { kind: 'flat', name: 'id', type: 'string', nullable: false },
    { kind: 'vector', name: 'embedding', element: 'float32', dimensions },
    ...columnsUnder(columns),
  ]
  const tables = []
  for await (const shard of shardsOf(output, manifest)) {
    const batches = []
    for await (const { ids, vectors, extra } of rowsOf(output, shard, { dimensions, columns }))
      batches.push({ rows: ids.length, values: [ids, vectors, ...extra.values()] })
    tables.push(await arrowTableOf(written, batches))
  }
  const place = join(folder, 'node')
  const database = await client.connect(place)
  const started = performance.now()
  const table = await database.createEmptyTable('plain', tables[0]?.schema)
  for await (const _ of mapConcurrent(tables, data => table.add(data), { concurrency: 4 }));
  const seconds = (performance.now() - started) / 1_000
  requireRows(await table.countRows())
  database.close()
  await rm(place, { recursive: true })
  return seconds
}

function requireRows(found: number): void {
  if (found !== rows) throw new Error(`${found} rows instead of ${rows}`)
}

interface Ours {
  /** From the start to the last recorded shard. */
  readonly seconds: number
  /** Seconds of CPU of this process meanwhile. */
  readonly cpu: number
}

/**
 * Loads the shards; to the end, with index and proof, if `isWhole`. The index of pgvector takes a
 * minute.
 */
async function loadByUs(url: string, isWhole: boolean): Promise<Ours> {
  await using vectors = await openVectorStore(url)
  const stop = new AbortController()
  let written: Ours | undefined
  let indexed = 0
  const before = process.cpuUsage()
  const started = performance.now()
  const loading = loadRun(output, manifest, vectors, {
    name: 'bench',
    signal: stop.signal,
    onProgress({ step }) {
      if (step === 'compare') indexed = performance.now()
      if (step !== 'index') return
      const { user, system } = process.cpuUsage(before)
      written = { seconds: (performance.now() - started) / 1_000, cpu: (user + system) / 1e6 }
      if (!isWhole) stop.abort()
    },
  })
  const outcome = await loading.catch((error: unknown) => {
    if (written === undefined || !stop.signal.aborted) throw error
  })
  if (outcome) {
    requireRows(outcome.proof.rows)
    console.log(`  count and comparison: ${shown([(performance.now() - indexed) / 1_000])} s more`)
  }
  const [order] = await Array.fromAsync(readLoadOrders(output, run))
  if (order === undefined || written === undefined) throw new Error('no shard was written')
  await vectors.drop(order.target)
  await rm(join(output.url, 'runs', run, 'loads'), { recursive: true })
  await rm(join(output.url, 'loads'), { recursive: true, force: true })
  return written
}

const best = (values: readonly number[]): number => Math.min(...values)
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
const shown = (values: readonly number[]): string => values.map(value => value.toFixed(2)).join(', ')

try {
  console.log(`${rows} rows of ${dimensions} dimensions, ${rounds} rounds`)
  for (const name of stores.split(',')) {
    const open = RIVALS[name]
    if (open === undefined) throw new Error(`no store ${name}: ${Object.keys(RIVALS).join(', ')}`)
    await using rival = await open()
    const theirs = rival.tools.map((): number[] => [])
    const ours: Ours[] = []
    for (let round = 0; round < Number(rounds); round += 1) {
      for (const [index, tool] of rival.tools.entries()) theirs[index]?.push(await tool.load())
      ours.push(await loadByUs(rival.url, name !== 'postgres' || round === Number(rounds) - 1))
    }
    const seconds = ours.map(one => one.seconds)
    console.log(`${name}\n  reembed load: ${shown(seconds)} s, CPU ${shown(ours.map(({ cpu }) => cpu))} s`)
    for (const [index, tool] of rival.tools.entries()) {
      const times = theirs[index] ?? []
      const made =
        tool.prepared === undefined ? '' : `, from files that an export made in ${shown([tool.prepared])} s`
      console.log(`  ${tool.name}: ${shown(times)} s${made}`)
      const of = (pick: typeof best): string => (pick(times) / pick(seconds)).toFixed(2)
      console.log(`  speed of the load: ${of(best)} of ${tool.name}, medians ${of(median)}`)
    }
  }
} finally {
  await rm(folder, { recursive: true })
}
