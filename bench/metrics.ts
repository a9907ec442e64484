// What metrics cost a worker: the CPU of counting a request and of a scrape, against the CPU of one
// request of the client that they watch (measured here too, against a server in a process of its
// own).
//
//   node --conditions=@reembed/source bench/metrics.ts

import { type Endpoint, openEndpoint } from '@reembed/endpoint'
import { startEndpoint } from '@reembed/local'
import { createRegistry, observeProcess } from '@reembed/telemetry'
import { createWorkerMetrics } from '@reembed/worker'

const ROUNDS = 5
const REQUESTS = 400
const TEXTS = Array.from({ length: 32 }, (_, i) => `document ${i} speaks of a topic at some length`)

/** CPU microseconds of `run`, of this process. */
async function cpu(run: () => Promise<void> | void): Promise<number> {
  const before = process.cpuUsage()
  await run()
  const { user, system } = process.cpuUsage(before)
  return user + system
}
const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const registry = createRegistry()
observeProcess(registry, 'bench')
using metrics = createWorkerMetrics(registry, 4)
await using tei = await startEndpoint({ engine: 'hash', hash: { dimensions: 384 } })
await using endpoint = await openEndpoint(tei.url)
const vectors = new Float32Array(TEXTS.length * endpoint.info.dimensions)

// Counting alone: the wrapper over an endpoint that has its answer ready, against that endpoint
// bare.
const answer = await endpoint.request(TEXTS, vectors)
const ready = Object.assign(Object.create(endpoint) as Endpoint, { request: async () => answer })
const watched = metrics.instrument(ready)
const MANY = 200_000
const counting: number[] = []
const requests: number[] = []
const scrapes: number[] = []
for (let round = 0; round < ROUNDS; round++) {
  const spin = (one: Endpoint) => async (): Promise<void> => {
    for (let i = 0; i < MANY; i++) await one.request(TEXTS, vectors)
  }
  const bare = await cpu(spin(ready))
  counting.push(((await cpu(spin(watched))) - bare) / MANY)
  // A worker also reads, packs, hashes and writes, so of all its CPU the share is smaller still.
  requests.push(
    (await cpu(async () => {
      for (let i = 0; i < REQUESTS; i++) await endpoint.request(TEXTS, vectors)
    })) / REQUESTS,
  )
  scrapes.push(
    (await cpu(async () => {
      for (let i = 0; i < 200; i++) await registry.render()
    })) / 200,
  )
}
const [count, request, scrape] = [counting, requests, scrapes].map(median) as [number, number, number]
const text = await registry.render()
if (!text.includes(`reembed_requests_total{outcome="ok"} ${ROUNDS * MANY}`))
  throw new Error('not every request was counted')
console.table({
  'counting a request': {
    'CPU µs': count.toFixed(2),
    share: `${((100 * count) / request).toFixed(2)} % of a request of 32 texts (${request.toFixed(0)} µs)`,
  },
  'a scrape': {
    'CPU µs': scrape.toFixed(0),
    share: `${((100 * scrape) / 15e6).toFixed(4)} % of a core, every 15 s`,
  },
})
