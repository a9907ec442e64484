// Whole workers, 1, 2 and 8 processes, JSONL to Parquet, against fake TEIs with the timing of GPUs; and a bare load
// generator that keeps 256 texts in flight at each of them. The rate is the servers' own, while the middle half of the
// texts was answered, so starting and ending are left out. Each fleet stands between two runs of the load generator and
// is compared with their mean, so that a machine that gets slower meanwhile does not tell; medians of these ratios.
// Every vector of every shard is compared, and the texts that the servers counted with the documents.
//
//   node --conditions=@reembed/source bench/fleet.ts [rounds = 5] [documents = 8192] [speeds = 1]
//
// Several speeds are so many replicas, addressed one by one: '0.4,0.4,0.1' has a slow one.
//
// Not measured: S3, TLS, a network, a real GPU.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { startRedis } from '@reembed/local'
import {
  countPresent,
  enqueueMissing,
  openCorpus,
  planRun,
  recordPlan,
  shardsPresent,
} from '@reembed/producer'
import { openQueue, openStore } from '@reembed/shared'
import { checkShards } from './fleet/check.ts'
import { DIMENSIONS, textOf } from './fleet/texts.ts'

const rounds = Number(process.argv[2] ?? 5)
const documents = Number(process.argv[3] ?? 8_192)
const speeds = process.argv[4] ?? '1'
const FLEETS = [1, 2, 8]
const LEAST = speeds.includes(',') ? 0.98 : 0.97
/** What a worker sends beside the documents, to settle the route and prove the model, is at most this many texts for each replica. */
const MOST_PROBES = 500

const start = (file: string, ...args: string[]): ChildProcess =>
  fork(new URL(file, import.meta.url), args, { execArgv: process.execArgv })

async function ask<Answer>(child: ChildProcess, question: object): Promise<Answer> {
  const answered = once(child, 'message')
  child.send(question)
  return (await answered)[0]
}

const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
const source = join(folder, 'corpus.jsonl')
await writeFile(
  source,
  Array.from({ length: documents }, (_, i) => `${JSON.stringify({ id: `${i}`, text: textOf(i) })}\n`).join(
    '',
  ),
)
const server = start('fleet/server.ts', speeds)
const [{ url }] = await once(server, 'message')

/** The server's rate for what came since the last question: the documents, and what `workers` sent beside them. */
async function rateOf(workers: number): Promise<number> {
  const { inputs, rate } = await ask<{ inputs: number; rate: number }>(server, {})
  const beside = inputs - documents
  if (beside < 0 || beside > workers * speeds.split(',').length * MOST_PROBES)
    throw new Error(`the server counted ${beside} texts too many`)
  return rate
}

async function bare(): Promise<number> {
  const load = start('fleet/load.ts', url)
  await ask(load, { documents, atOnce: 16 })
  load.kill()
  return rateOf(0)
}

async function fleet(processes: number): Promise<number> {
  const output = join(folder, 'vectors')
  await using redis = await startRedis()
  await using corpus = await openCorpus(source, {})
  await using store = await openStore(output, { create: true })
  await using queue = await openQueue(redis.url)
  const model = {
    id: 'reembed/hash',
    revision: 'r1',
    dimensions: DIMENSIONS,
    pooling: 'mean',
    normalized: true,
  }
  const planned = await planRun(corpus, { model, prompt: '', truncate: true, documentsPerShard: 256 })
  const { plan } = await recordPlan(store, planned)
  // All are up before the first job is there.
  const workers = Array.from({ length: processes }, () => start('fleet/worker.ts', url, redis.url, output))
  await Promise.all(workers.map(worker => once(worker, 'message')))
  await enqueueMissing(queue, store.url, plan, await shardsPresent(store, plan))
  while (countPresent(await shardsPresent(store, plan)) < plan.shards) await wait(100)
  const ended = workers.map(worker => once(worker, 'exit'))
  for (const worker of workers) worker.disconnect()
  await Promise.all(ended)
  await checkShards(store, plan, documents)
  await rm(output, { recursive: true })
  return rateOf(processes)
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const bareRates: number[] = []
const fleetRates = FLEETS.map((): number[] => [])
const ratios = FLEETS.map((): number[] => [])
try {
  for (let round = 0; round < rounds; round++) {
    let before = await bare()
    bareRates.push(before)
    for (const [i, processes] of FLEETS.entries()) {
      const rate = await fleet(processes)
      const after = await bare()
      bareRates.push(after)
      fleetRates[i]?.push(rate)
      ratios[i]?.push(rate / ((before + after) / 2))
      before = after
    }
  }
} finally {
  server.kill()
  await rm(folder, { recursive: true, force: true })
}

console.log('| | texts/s by the server | of the bare load generator (least, most) |')
console.log('|---|---|---|')
console.log(`| bare load generator | ${median(bareRates).toFixed(0)} | 1 |`)
for (const [i, processes] of FLEETS.entries()) {
  const all = ratios[i] ?? []
  const spread = `(${Math.min(...all).toFixed(2)}, ${Math.max(...all).toFixed(2)})`
  const name = `${processes} worker process${processes > 1 ? 'es' : ''}`
  console.log(`| ${name} | ${median(fleetRates[i] ?? []).toFixed(0)} | ${median(all).toFixed(3)} ${spread} |`)
}
const held = ratios.every(all => median(all) >= LEAST)
console.log(`${held ? 'held  ' : 'BROKEN'}  each at least ${LEAST}`)
console.log(`${rounds} rounds of ${documents} documents; every vector bit-exact, every text counted once`)
process.exitCode = held ? 0 : 1
