// A whole worker, S3 in and out, behind links of a known round trip to the endpoint and to S3, with
// and without TLS. The same server of ready bytes, corpus and machine for each row; each row has
// fresh processes. Every vector of every shard is compared, and the texts that the server counted
// with the documents.
//
//   node --conditions=@reembed/source bench/latency.ts [documents = 65536] [rounds = 3]
//
// Worker, servers, links and Redis share the machine, and a link with TLS decrypts what the worker
// encrypts: so the rates of the rows with TLS are lower than between two machines; the CPU is the
// worker's own. Not measured: the handshake of TCP, lost packets, bandwidth.

import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureReference, openEndpoint } from '@reembed/endpoint'
import { startRedis } from '@reembed/local'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { enqueueMissing } from '@reembed/producer'
import { type Plan, shardsPresent } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { SELF_SIGNED } from '../test/parts/self-signed.ts'
import { ask, start } from './child.ts'
import { DIMENSIONS, texts, vectorOf } from './client/wire.ts'

const documents = Number(process.argv[2] ?? 65_536)
const rounds = Number(process.argv[3] ?? 3)
/** What settles the route and proves the model is at most this many texts. */
const MOST_PROBES = 500
const LINKS = [
  { roundTripMs: 0, tls: false },
  { roundTripMs: 0, tls: true },
  { roundTripMs: 1, tls: true },
  { roundTripMs: 10, tls: true },
  { roundTripMs: 50, tls: true },
] as const

type Link = (typeof LINKS)[number]

interface Spent {
  readonly ms: number
  readonly cpuMs: number
  readonly toEndpoint: number
  readonly toS3: number
}

const numberOf = (i: number): string => String(i).padStart(9, '0')
/** Each text stands once: a worker sends equal ones once. The bare server knows it by its start. */
const textOf = (i: number): string => `${texts[i % texts.length]?.slice(0, -9)}${numberOf(i)}`

const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
const ca = join(folder, 'ca.pem')
await writeFile(ca, SELF_SIGNED.cert)
const server = start('client/server.ts')
const [{ url }] = await once(server, 'message')
const s3 = start('latency/s3.ts')
const [{ endpoint: s3Url, env }] = await once(s3, 'message')
Object.assign(process.env, env, { NODE_EXTRA_CA_CERTS: ca })
const portOf = (address: string): string => new URL(address).port

{
  await using store = await openStore('s3://bench/corpus')
  const lines: string[] = []
  for (let i = 0; i < documents; i++) lines.push(JSON.stringify({ id: `d${numberOf(i)}`, text: textOf(i) }))
  await store.putIfAbsent('corpus.jsonl', Buffer.from(`${lines.join('\n')}\n`))
}

let counted = 0
let outputs = 0

async function round({ roundTripMs, tls }: Link): Promise<Spent> {
  const output = `s3://bench/vectors-${outputs++}`
  await using redis = await startRedis()
  await using corpus = await openCorpus('s3://bench/corpus', {})
  await using store = await openStore(output, { create: true })
  await using queue = await openQueue(redis.url)
  const model = { id: 'bench', revision: 'r1', dimensions: DIMENSIONS, pooling: 'mean', normalized: true }
  const planned = await planRun(corpus, { model, prompt: '', truncate: true, documentsPerShard: 4_096 })
  const { plan } = await recordPlan(store, planned)
  // As planning by the command does.
  await using endpoint = await openEndpoint(url)
  await ensureReference(store, endpoint)
  const missing = await shardsPresent(store, plan)

  const links = [url, s3Url].map(to =>
    start('latency/link.ts', portOf(to), String(roundTripMs), tls ? 'tls' : 'plain'),
  )
  const [toEndpoint, toS3] = await Promise.all(links.map(async link => (await once(link, 'message'))[0].url))
  process.env.AWS_ENDPOINT_URL_S3 = toS3
  const child = start('worker/round.ts')
  process.env.AWS_ENDPOINT_URL_S3 = s3Url
  try {
    const jobs = { redis: redis.url, output, run: plan.run }
    await ask(child, { url: toEndpoint, documents, isFake: false, jobs })
    await enqueueMissing(queue, store, plan, missing)
    const { ms, cpuMs } = await ask<Spent>(child, {})
    const used = await Promise.all(links.map(link => ask<{ connections: number }>(link)))
    const { inputs } = await ask<{ inputs: number }>(server, {})
    const beside = inputs - counted - documents
    counted = inputs
    if (beside < 0 || beside > MOST_PROBES) throw new Error(`the server counted ${beside} texts too many`)
    await check(store, plan)
    return { ms, cpuMs, toEndpoint: used[0]?.connections ?? 0, toS3: used[1]?.connections ?? 0 }
  } finally {
    child.disconnect()
    for (const link of links) link.disconnect()
  }
}

/** The server has a vector for each text, and the texts repeat in a cycle. */
async function check(store: Store, plan: Plan): Promise<void> {
  const sent = texts.map((_, i) => Buffer.from(vectorOf(i).buffer))
  let rows = 0
  for (let shard = 0; shard < plan.shards; shard++) {
    for await (const { ids, vectors } of readShard(store, shardKey(plan.run, shard, plan.shards))) {
      for (const [i, id] of ids.entries()) {
        const got = Buffer.from(vectors.buffer, vectors.byteOffset + i * DIMENSIONS * 4, DIMENSIONS * 4)
        if (!got.equals(sent[Number(id.slice(1)) % texts.length] ?? Buffer.of()))
          throw new Error(`the vector of ${id} is wrong`)
      }
      rows += ids.length
    }
  }
  if (rows !== documents) throw new Error(`${rows} rows for ${documents} documents`)
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const spent = new Map<Link, Spent[]>(LINKS.map(link => [link, []]))
try {
  for (let i = 0; i < rounds; i++) for (const link of LINKS) spent.get(link)?.push(await round(link))
} finally {
  server.kill()
  s3.kill()
  await rm(folder, { recursive: true, force: true })
}

console.log(
  '| round trip | TLS | documents/s | of the first row | CPU µs/document | connections to the endpoint, to S3 |',
)
console.log('|---|---|---|---|---|---|')
const first = median((spent.get(LINKS[0]) ?? []).map(({ ms }) => ms))
for (const [{ roundTripMs, tls }, all] of spent) {
  const ms = median(all.map(({ ms }) => ms))
  const rate = Math.round(documents / (ms / 1000)).toLocaleString('en-US')
  const cpu = ((median(all.map(({ cpuMs }) => cpuMs)) * 1000) / documents).toFixed(1)
  const used = `${median(all.map(({ toEndpoint }) => toEndpoint))}, ${median(all.map(({ toS3 }) => toS3))}`
  console.log(
    `| ${roundTripMs} ms | ${tls ? 'yes' : 'no'} | ${rate} | ${(first / ms).toFixed(2)} | ${cpu} | ${used} |`,
  )
}
console.log(`${rounds} rounds of ${documents} documents; every vector bit-exact, each document counted once`)
