// What traces cost a worker: off, on, and on with one job in a hundred sampled, as CPU of this
// process for a request of 32 texts, the sending of the spans included. Server and collector are
// processes of their own.
//
//   node --conditions=@reembed/source bench/traces.ts [rounds]

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Endpoint, openEndpoint, tracedEndpoint } from '@reembed/endpoint'
import { startEndpoint } from '@reembed/local'
import { openTracing, tracing } from '@reembed/telemetry'

const ROUNDS = Number(process.argv[2] ?? 7)
const REQUESTS = 3_200
const AT_ONCE = 16
const TEXTS = Array.from({ length: 32 }, (_, i) => `document ${i} speaks of a topic at some length`)
const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const script = fileURLToPath(new URL('traces/collector.ts', import.meta.url))
const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
const [collector] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
const received = async (): Promise<number> => Number(await (await fetch(collector)).text())

await using tei = await startEndpoint({ engine: 'hash', hash: { dimensions: 384 } })
await using bare = await openEndpoint(tei.url)
const expected = await bare.embed(TEXTS)

/** CPU microseconds a request, in this process. */
async function round(env: Record<string, string>): Promise<number> {
  const before = process.cpuUsage()
  {
    // The exporter reads its own variables from the process.
    for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) delete process.env[name]
    Object.assign(process.env, env)
    await using _ = await openTracing(process.env, { version: 'bench', onError: console.error })
    const endpoint: Endpoint = tracedEndpoint(bare)
    if (tracing() === undefined && endpoint !== bare)
      throw new Error('without traces there must be no wrapper')
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        const vectors = new Float32Array(expected.length)
        for (let i = 0; i < REQUESTS / AT_ONCE; i++) {
          const outcome = await endpoint.request(TEXTS, vectors)
          if (outcome.kind !== 'ok' || Buffer.compare(bytes(vectors), bytes(expected)) !== 0)
            throw new Error('a vector is not what it was')
        }
      }),
    )
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / REQUESTS
}
const bytes = (vectors: Float32Array): Uint8Array => new Uint8Array(vectors.buffer)

const on = { OTEL_EXPORTER_OTLP_ENDPOINT: collector }
const settings = {
  off: {},
  'on, every job': on,
  'on, one job in a hundred': {
    ...on,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.01',
  },
}
const costs = new Map<string, number[]>(Object.keys(settings).map(name => [name, []]))
for (const env of Object.values(settings)) await round(env)
const warm = await received()
for (let i = 0; i < ROUNDS; i++)
  for (const [name, env] of Object.entries(settings)) costs.get(name)?.push(await round(env))

// Sampled ones come on top: the traces of this bench have no job, so each request is sampled by
// itself.
const spans = (await received()) - warm
const least = ROUNDS * REQUESTS
if (warm < REQUESTS || spans < least || spans > least * 1.05)
  throw new Error(`${spans} spans came for ${least} requests of the rounds with traces on`)
const off = median(costs.get('off') ?? [])
console.table(
  Object.fromEntries(
    [...costs].map(([name, values]) => {
      const cost = median(values)
      return [
        name,
        { 'CPU µs a request': cost.toFixed(0), 'more than off': `${(100 * (cost / off - 1)).toFixed(1)} %` },
      ]
    }),
  ),
)

// Off, the remaining cost is a check for a tracer: two for each job, none for a request
// beside `headers`.
const MANY = 10_000_000
const start = process.cpuUsage()
let found = 0
for (let i = 0; i < MANY; i++) if (tracing() !== undefined) found += 1
const { user } = process.cpuUsage(start)
if (found > 0) throw new Error('traces should be off')
console.log(`off, a check for a tracer: ${((1000 * user) / MANY).toFixed(2)} ns`)
child.kill()
