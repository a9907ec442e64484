// Whole workers, 1, 2 and 8 processes, JSONL to Parquet, against fake TEIs with the timing of GPUs;
// and a bare load generator that keeps 256 texts in flight at each of them. The rate is the
// servers' own, while the middle half of the texts was answered, so starting and ending are left
// out. Each fleet stands between two runs of the load generator and is compared with their mean, so
// that a machine that gets slower meanwhile does not tell; medians of these ratios. Every vector of
// every shard is compared, and the texts that the servers counted with the documents.
//
//   node --conditions=@reembed/source bench/fleet.ts [rounds = 5] [documents = 8192] [speeds = 1]
//
// Several speeds are so many replicas, addressed one by one: '0.4,0.4,0.1' has a slow one.
//
// Not measured: S3, TLS, a network, a real GPU.

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ask, start } from './child.ts'
import { openRun } from './fleet/run.ts'

const rounds = Number(process.argv[2] ?? 5)
const documents = Number(process.argv[3] ?? 8_192)
const speeds = process.argv[4] ?? '1'
const FLEETS = [1, 2, 8]
const LEAST = speeds.includes(',') ? 0.98 : 0.97
/**
 * What a worker sends beside the documents, to settle the route and prove the model, is at most
 * this many texts for each replica.
 */
const MOST_PROBES = 500

const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
const server = start('fleet/server.ts', speeds)
const [{ url }] = await once(server, 'message')

/**
 * The server's rate for what came since the last question: the documents, and what `workers` sent
 * beside them.
 */
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
  await using run = await openRun(folder, { documents, documentsPerShard: 256 })
  // All workers are up before the first job exists.
  const workers = Array.from({ length: processes }, () =>
    start('fleet/worker.ts', url, run.redis, run.output),
  )
  await Promise.all(workers.map(worker => once(worker, 'message')))
  await run.enqueue()
  await run.finished()
  const ended = workers.map(worker => once(worker, 'exit'))
  for (const worker of workers) worker.disconnect()
  await Promise.all(ended)
  await run.check()
  await rm(run.output, { recursive: true })
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
