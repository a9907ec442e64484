// What the endpoint client costs: CPU per embedding, 768 dimensions, 32 texts of 2 KB a request, over loopback, of
// our client, of bare sockets with the same decode and no checks, and of global fetch with the same decode. Each
// client and the server have a process of their own; rounds alternate; every vector is compared, and the requests
// counted here and by the server must be the same. Not measured: the limiter, packing, TLS, a real network.
//
//   node --conditions=@reembed/source bench/client.ts

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

const ROUNDS = 7
const REQUESTS = 600
const INPUTS = 32

interface Contender {
  readonly name: string
  readonly client: 'ours' | 'bare' | 'fetch'
  readonly concurrency: number
  readonly microseconds: number[]
}

const contenders: Contender[] = [
  { name: 'bare sockets', client: 'bare', concurrency: 16, microseconds: [] },
  { name: 'reembed', client: 'ours', concurrency: 16, microseconds: [] },
  { name: 'fetch', client: 'fetch', concurrency: 16, microseconds: [] },
  { name: 'reembed', client: 'ours', concurrency: 4, microseconds: [] },
  { name: 'reembed', client: 'ours', concurrency: 64, microseconds: [] },
]

let finished = false

function start(file: string, ...args: string[]): ChildProcess {
  const child = fork(new URL(file, import.meta.url), args, { execArgv: process.execArgv })
  child.on('exit', code => {
    if (!finished) throw new Error(`${[file, ...args].join(' ')} ended with ${code}`)
  })
  return child
}

async function ask<Answer>(child: ChildProcess, question: object): Promise<Answer> {
  const answered = once(child, 'message')
  child.send(question)
  const [answer] = await answered
  return answer
}

const server = start('client/server.ts')
const [{ url }] = await once(server, 'message')
const clients = new Map<string, ChildProcess>()
let sent = 0
for (let round = -1; round < ROUNDS; round++) {
  for (const { client, concurrency, microseconds } of contenders) {
    const child = clients.get(client) ?? start('client/round.ts', client, url)
    clients.set(client, child)
    const { cpuMicroseconds, others } = await ask<{ cpuMicroseconds: number; others: number }>(child, {
      requests: REQUESTS,
      concurrency,
    })
    sent += REQUESTS + others
    // The first round only warms up.
    if (round >= 0) microseconds.push(cpuMicroseconds / (REQUESTS * INPUTS))
  }
}
const { requests: counted } = await ask<{ requests: number }>(server, {})
finished = true
for (const child of [server, ...clients.values()]) child.kill()
if (counted !== sent) throw new Error(`the clients counted ${sent} requests, the server ${counted}`)

const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b)
const median = (values: readonly number[]): number => sorted(values)[values.length >> 1] ?? Number.NaN
const [bare, , fetched, four, sixtyFour] = contenders.map(({ microseconds }) => median(microseconds))
const ours = median(contenders[1]?.microseconds ?? [])

console.log('client         concurrency   CPU µs/embedding (min to max)   times bare')
for (const { name, concurrency, microseconds } of contenders) {
  const [low, high] = [sorted(microseconds)[0] ?? 0, sorted(microseconds).at(-1) ?? 0]
  const range = `${median(microseconds).toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`
  const times = (median(microseconds) / (bare ?? 0)).toFixed(2)
  console.log(
    `${name.padEnd(14)} ${String(concurrency).padStart(11)}   ${range.padEnd(30)} ${times.padStart(11)}`,
  )
}
const claims: [string, number, number][] = [
  ['of bare sockets', ours / (bare ?? 0), 1.6],
  ['of fetch', ours / (fetched ?? 0), 0.5],
  ['concurrency 64 of concurrency 4', (sixtyFour ?? 0) / (four ?? 0), 1.5],
]
for (const [what, value, limit] of claims) {
  console.log(`${value <= limit ? 'held  ' : 'BROKEN'}  ${value.toFixed(2)} ${what}, at most ${limit}`)
}
console.log(`${counted} requests, ${counted} counted by the server; every vector bit-exact`)
process.exitCode = claims.every(([, value, limit]) => value <= limit) ? 0 : 1
