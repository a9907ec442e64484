// Measures how fast a run is loaded into a vector store, without indexes, beside the store's own
// tool on the same rows: `psql` with COPY from binary files, and the plainest loop of the clients
// of LanceDB and Milvus for Python. Alternated rounds; the best of each, because other work on the
// machine only adds.
//
//   REEMBED_TEST_POSTGRES=<bin> REEMBED_TEST_MILVUS=<bin> REEMBED_TEST_PYTHON=<python with lancedb, pymilvus> \
//     node --conditions=@reembed/source bench/load.ts [rows x dimensions = 100000x384] [rounds = 3] [stores]
//
// Each load is counted, and a sample of it compared bit by bit. Not measured: the indexes, a server
// on another machine.

import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportRun } from '@reembed/export'
import { putVersion } from '@reembed/protocol'
import { loadRun, openVectorStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { makeRun } from '../test/export/run.ts'
import { startMilvus } from '../test/parts/milvus.ts'
import { PYTHON } from '../test/parts/needs.ts'
import { startPostgres } from '../test/parts/postgres.ts'

const [, , size = '100000x384', rounds = '3', stores = 'postgres,lancedb,milvus'] = process.argv
const [rows = 0, dimensions = 0] = size.split('x').map(Number)
const SHARDS = 20

const folder = await mkdtemp(join(tmpdir(), 'reembed-load-'))
await using output = await openStore(join(folder, 'output'), { create: true })
const { manifest } = await makeRun(output, {
  shards: SHARDS,
  rows: rows / SHARDS,
  dimensions,
  rowGroupRows: 2_500,
})
const { run } = manifest
await putVersion(output, { version: 1, run, seq: 1, manifestSha256: '' })

/** A store under test: where we load, and the seconds of its own tool. */
interface Rival extends AsyncDisposable {
  readonly url: string
  readonly tool: string
  /**
   * Seconds that it took to make the files that the tool reads; undefined if it reads the shards.
   */
  readonly prepared?: number
  loadByTool(): Promise<number>
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
      tool: 'psql, COPY',
      prepared,
      async loadByTool() {
        sql('-c', 'CREATE EXTENSION IF NOT EXISTS vector', '-c', 'DROP TABLE IF EXISTS embeddings')
        sql('-c', schema.replace(/,\s*PRIMARY KEY \(id\)/, ''))
        const copies = data.flatMap(file => ['-c', `\\copy embeddings FROM '${file}' WITH (FORMAT binary)`])
        const started = performance.now()
        sql(...copies)
        const seconds = (performance.now() - started) / 1_000
        requireRows(Number(sql('-c', 'SELECT count(*) FROM embeddings')))
        return seconds
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
  async lancedb() {
    return {
      url: `lancedb:${join(folder, 'lance')}`,
      tool: 'lancedb for Python',
      async loadByTool() {
        const seconds = byPython('lancedb', join(folder, 'plain'))
        await rm(join(folder, 'plain'), { recursive: true })
        return seconds
      },
      async [Symbol.asyncDispose]() {},
    }
  },
  async milvus() {
    const server = await startMilvus()
    return {
      url: `milvus+http://${server.host}`,
      tool: 'pymilvus, Milvus Lite',
      loadByTool: async () => byPython('milvus', `http://${server.host}`),
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

function requireRows(found: number): void {
  if (found !== rows) throw new Error(`${found} rows instead of ${rows}`)
}

/** Seconds, and seconds of CPU, of the shards of a load before its indexes. */
async function loadByUs(url: string): Promise<{ seconds: number; cpu: number }> {
  await using vectors = await openVectorStore(url)
  let ended: { seconds: number; cpu: number } | undefined
  const before = process.cpuUsage()
  const started = performance.now()
  const { record, proof } = await loadRun(output, manifest, vectors, {
    name: 'bench',
    onProgress({ step }) {
      if (step === 'write' || ended !== undefined) return
      const { user, system } = process.cpuUsage(before)
      ended = { seconds: (performance.now() - started) / 1_000, cpu: (user + system) / 1e6 }
    },
  })
  requireRows(proof.rows)
  await vectors.drop(record.target)
  await rm(join(output.url, 'runs', run, 'loads'), { recursive: true })
  await rm(join(output.url, 'loads'), { recursive: true })
  if (ended === undefined) throw new Error('no shard was written')
  return ended
}

const best = (values: readonly number[]): number => Math.min(...values)
const shown = (values: readonly number[]): string => values.map(value => value.toFixed(2)).join(', ')

try {
  console.log(`${rows} rows of ${dimensions} dimensions, ${rounds} rounds`)
  for (const name of stores.split(',')) {
    const open = RIVALS[name]
    if (open === undefined) throw new Error(`no store ${name}: ${Object.keys(RIVALS).join(', ')}`)
    await using rival = await open()
    const theirs: number[] = []
    const ours: { seconds: number; cpu: number }[] = []
    for (let round = 0; round < Number(rounds); round += 1) {
      theirs.push(await rival.loadByTool())
      ours.push(await loadByUs(rival.url))
    }
    const seconds = ours.map(one => one.seconds)
    const made =
      rival.prepared === undefined ? '' : `, from files that an export made in ${shown([rival.prepared])} s`
    console.log(`${name}\n  ${rival.tool}: ${shown(theirs)} s${made}`)
    console.log(`  reembed load: ${shown(seconds)} s, CPU ${shown(ours.map(({ cpu }) => cpu))} s`)
    console.log(`  speed: ${(best(theirs) / best(seconds)).toFixed(2)} of the tool`)
  }
} finally {
  await rm(folder, { recursive: true })
}
