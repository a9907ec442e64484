// A whole worker, JSONL in and Parquet out, against its own endpoint client alone in a loop: the
// same server, texts of the same length. Each side has a fresh process for each round, up before
// its time begins; what a worker asks before its first document, to settle the route and prove the
// model, belongs to its time. Rounds alternate. The vectors in the shards are compared with what
// the server sent, bit for bit, and the texts that the server counted with the documents.
//
//   node --conditions=@reembed/source bench/worker.ts [documents = 131072] [rounds = 5] [server = bare]
//
// The bare server sends ready bytes, so that what the two sides cost shows; `fake` is the fake TEI,
// which computes.
//
// Not measured: S3 (the output is a folder), TLS, a network, planning, the start of a process.
// Server, Redis and worker share the machine.

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureReference, openEndpoint } from '@reembed/endpoint'
import { hashVector, startRedis } from '@reembed/local'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { enqueueMissing } from '@reembed/producer'
import { type Plan, shardsPresent } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { ask, start } from './child.ts'
import { DIMENSIONS, texts, vectorOf } from './client/wire.ts'
import { FAKE } from './worker/wire.ts'

const documents = Number(process.argv[2] ?? 131_072)
const rounds = Number(process.argv[3] ?? 5)
const isFake = process.argv[4] === 'fake'
/**
 * What is sent beside the documents, to settle the route and prove the model, is at most this many
 * texts.
 */
const MOST_PROBES = 500

interface Spent {
  readonly ms: number
  readonly cpuMs: number
}

const numberOf = (i: number): string => String(i).padStart(9, '0')

/**
 * Each text stands once: a worker sends equal ones once. Its beginning is what the bare server
 * knows it by.
 */
const textOf = (i: number): string => {
  const number = numberOf(i)
  return `${texts[i % texts.length]?.slice(0, -number.length)}${number}`
}

async function writeCorpus(path: string): Promise<void> {
  const out = createWriteStream(path)
  for (let i = 0; i < documents; i++) {
    const line = `${JSON.stringify({ id: `d${numberOf(i)}`, text: textOf(i) })}\n`
    if (!out.write(line)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'close')
}

const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
const server = start(isFake ? 'worker/fake.ts' : 'client/server.ts')
const [{ url }] = await once(server, 'message')
const source = join(folder, 'corpus.jsonl')
await writeCorpus(source)
const sent = texts.map((_, i) => Buffer.from(vectorOf(i).buffer))
/** What the server has for document `i`. */
const vectorFor = (i: number): Buffer | undefined =>
  isFake ? Buffer.from(hashVector(textOf(i), FAKE).buffer) : sent[i % texts.length]
let counted = 0
let probes = 0

/** What one side takes; `go` gives it its work once it is up. */
async function spend(question: object, go: () => Promise<unknown>): Promise<Spent> {
  const child = start('worker/round.ts')
  await ask(child, { url, documents, isFake, ...question })
  await go()
  const spent = await ask<Spent>(child, {})
  child.disconnect()
  const { inputs } = await ask<{ inputs: number }>(server, {})
  const beside = inputs - counted - documents
  counted = inputs
  if (beside < 0 || beside > MOST_PROBES) throw new Error(`the server counted ${beside} texts too many`)
  probes += beside
  return spent
}

async function workerRound(round: number): Promise<Spent> {
  const output = join(folder, `vectors-${round}`)
  await using redis = await startRedis()
  await using corpus = await openCorpus(source, {})
  await using store = await openStore(output, { create: true })
  await using queue = await openQueue(redis.url)
  const model = { id: 'bench', revision: 'r1', dimensions: DIMENSIONS, pooling: 'mean', normalized: true }
  const planned = await planRun(corpus, { model, prompt: '', truncate: true, documentsPerShard: 4_096 })
  const { plan } = await recordPlan(store, planned)
  // As planning by the command does.
  await using endpoint = await openEndpoint(url)
  await ensureReference(store, endpoint)
  const missing = await shardsPresent(store, plan)
  const spent = await spend({ jobs: { redis: redis.url, output, run: plan.run } }, () =>
    enqueueMissing(queue, store, plan, missing),
  )
  await check(store, plan)
  await rm(output, { recursive: true })
  return spent
}

/** The server has a vector for each text, and the texts go round. */
async function check(store: Store, plan: Plan): Promise<void> {
  let rows = 0
  for (let shard = 0; shard < plan.shards; shard++) {
    for await (const { ids, vectors } of readShard(store, shardKey(plan.run, shard, plan.shards))) {
      for (const [i, id] of ids.entries()) {
        const got = Buffer.from(vectors.buffer, vectors.byteOffset + i * DIMENSIONS * 4, DIMENSIONS * 4)
        if (!got.equals(vectorFor(Number(id.slice(1))) ?? Buffer.of()))
          throw new Error(`the vector of ${id} is wrong`)
      }
      rows += ids.length
    }
  }
  if (rows !== documents) throw new Error(`${rows} rows for ${documents} documents`)
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const loops: Spent[] = []
const workers: Spent[] = []
try {
  for (let round = 0; round < rounds; round++) {
    loops.push(await spend({}, async () => {}))
    workers.push(await workerRound(round))
  }
} finally {
  server.kill()
  await rm(folder, { recursive: true, force: true })
}

console.log('| | documents/s | CPU µs/document |')
console.log('|---|---|---|')
for (const [name, spent] of [
  ['client alone', loops],
  ['whole worker', workers],
] as const) {
  const rate = Math.round(documents / (median(spent.map(({ ms }) => ms)) / 1000)).toLocaleString('en-US')
  const cpu = ((median(spent.map(({ cpuMs }) => cpuMs)) * 1000) / documents).toFixed(1)
  console.log(`| ${name} | ${rate} | ${cpu} |`)
}
const ratio = median(loops.map(({ ms }) => ms)) / median(workers.map(({ ms }) => ms))
console.log(
  `${ratio >= 0.5 ? 'held  ' : 'BROKEN'}  ${ratio.toFixed(2)} of the client's throughput, at least 0.5`,
)
console.log(
  `${rounds} rounds of ${documents} documents; every vector bit-exact, the server counted each document once, and ${probes} probes`,
)
process.exitCode = ratio >= 0.5 ? 0 : 1
