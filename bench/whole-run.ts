// A whole run by the built command, from its start to its end, beside the script that people write
// first: asyncio, all in memory, one Parquet file, nothing proved. Both read the same JSONL and ask
// the same server of ready bytes, in alternated rounds. Each vector that they wrote is compared
// with what the server sent.
//
//   npm run build && BENCH_PYTHON=<python> node --conditions=@reembed/source bench/whole-run.ts [documents = 200000] [rounds = 3]
//
// The Python needs aiohttp, orjson, numpy and pyarrow; without BENCH_PYTHON only ours is measured.
// CPU is that of the command and of the Redis that it starts; the server's is not in it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { requirePlan } from '@reembed/protocol'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { start } from './child.ts'
import { texts, vectorOf } from './client/wire.ts'

const documents = Number(process.argv[2] ?? 200_000)
const rounds = Number(process.argv[3] ?? 3)
const python = process.env.BENCH_PYTHON

const numberOf = (i: number): string => String(i).padStart(9, '0')
const idOf = (i: number): string => `d${numberOf(i)}`

/** A short text; the server knows it by its first word, and each stands once. */
const textOf = (i: number): string => `text ${i % texts.length}, about the subject ${numberOf(i)} alone.`

async function writeCorpus(path: string): Promise<void> {
  const out = createWriteStream(path)
  for (let i = 0; i < documents; i++)
    if (!out.write(`${JSON.stringify({ id: idOf(i), text: textOf(i) })}\n`)) await once(out, 'drain')
  out.end()
  await once(out, 'close')
}

interface Spent {
  readonly seconds: number
  readonly cpuSeconds: number
}

/** Runs a program to its end. The shell states the CPU time of the program and its children. */
async function spend(program: string, args: readonly string[]): Promise<Spent> {
  const started = performance.now()
  const child: ChildProcess = spawn('bash', ['-c', '"$@" || exit; times >&3', 'bash', program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
  let [said, times] = ['', '']
  child.stderr?.on('data', chunk => {
    said += chunk
  })
  child.stdio[3]?.on('data', chunk => {
    times += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${said}`)
  const seconds = (performance.now() - started) / 1000
  const [, user = '', system = ''] = /\n(\S+) (\S+)/.exec(times) ?? []
  return { seconds, cpuSeconds: secondsOf(user) + secondsOf(system) }
}

/** '1m2.345s' */
function secondsOf(time: string): number {
  const [, minutes = 0, seconds = 0] = /(\d+)m([\d.]+)s/.exec(time) ?? []
  return Number(minutes) * 60 + Number(seconds)
}

function checkRow(id: string, vector: Float32Array): void {
  const want = wanted[Number(id.slice(1)) % texts.length]
  if (!want || Buffer.compare(Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength), want) !== 0)
    throw new Error(`the vector of ${id} is wrong`)
}

async function checkRun(output: string): Promise<void> {
  await using store = await openStore(output)
  const { run } = JSON.parse(Buffer.from(await store.get(await onlyVersion(output))).toString())
  const plan = await requirePlan(store, run)
  const seen = new Set<string>()
  for (let shard = 0; shard < plan.shards; shard++) {
    for await (const { ids, vectors } of readShard(store, shardKey(plan.run, shard, plan.shards))) {
      const dimensions = vectors.length / ids.length
      for (const [i, id] of ids.entries()) {
        checkRow(id, vectors.subarray(i * dimensions, (i + 1) * dimensions) as Float32Array)
        seen.add(id)
      }
    }
  }
  if (seen.size !== documents) throw new Error(`${seen.size} rows for ${documents} documents`)
}

async function onlyVersion(output: string): Promise<string> {
  await using store = await openStore(output)
  const [version] = await Array.fromAsync(store.list('versions/'))
  if (!version) throw new Error('nothing was published')
  return version.key
}

async function checkParquet(path: string): Promise<void> {
  const file = await asyncBufferFromFile(path)
  const read = await parquetReadObjects({ file, compressors, rowEnd: 1_000 })
  for (const { id, embedding } of read) checkRow(id, Float32Array.from(embedding))
  const rows = Number((await parquetMetadataAsync(file)).num_rows)
  if (rows !== documents) throw new Error(`${rows} rows for ${documents} documents`)
}

const wanted = texts.map((_, i) => Buffer.from(vectorOf(i).buffer))
const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
const server = start('client/server.ts')
const [{ url }] = await once(server, 'message')
const source = join(folder, 'corpus.jsonl')
await writeCorpus(source)
const main = fileURLToPath(new URL('../packages/reembed/dist/main.js', import.meta.url))
const ours: Spent[] = []
const theirs: Spent[] = []
try {
  for (let round = 0; round < rounds; round++) {
    const output = join(folder, `vectors-${round}`)
    await mkdir(output)
    ours.push(
      await spend(process.execPath, [main, 'run', '--source', source, '--output', output, '--endpoint', url]),
    )
    await checkRun(output)
    await rm(output, { recursive: true })
    if (python === undefined) continue
    const file = join(folder, 'plain.parquet')
    const script = fileURLToPath(new URL('whole-run/plain.py', import.meta.url))
    theirs.push(await spend(python, [script, source, file, url]))
    await checkParquet(file)
    await rm(file)
  }
} finally {
  server.kill()
  await rm(folder, { recursive: true, force: true })
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
console.log('| | seconds (median, all) | CPU seconds |')
console.log('|---|---|---|')
for (const [name, spent] of [
  ['reembed run', ours],
  ['asyncio script', theirs],
] as const) {
  if (spent.length === 0) continue
  const seconds = spent.map(one => one.seconds)
  const each = seconds.map(one => one.toFixed(2)).join(', ')
  const cpu = median(spent.map(({ cpuSeconds }) => cpuSeconds)).toFixed(2)
  console.log(`| ${name} | ${median(seconds).toFixed(2)} (${each}) | ${cpu} |`)
}
console.log(`${rounds} rounds of ${documents} documents`)
