// What the endpoint client costs: CPU per embedding, 768 dimensions, 32 texts of 2 KB a request,
// over loopback, of our client; of bare sockets with the same decode and no checks; of global fetch
// with the same decode; and of what others use. Each client and the server have a process of their
// own; rounds alternate; every vector is compared, and the requests counted here and by the server
// must be the same. Not measured: the limiter, packing, TLS, a network.
//
//   node --conditions=@reembed/source bench/client.ts [rounds = 5]

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

const ROUNDS = Number(process.argv[2] ?? 5)
const INPUTS = 32

interface Contender {
  readonly name: string
  readonly wire: 'base64' | 'float' | 'base64, h2c' | 'float, h2c'
  readonly client: string
  readonly concurrency: number
  /** In a round: fewer where each takes longer. */
  readonly requests: number
  readonly microseconds: number[]
}

const contender = (
  client: string,
  name: string,
  wire: Contender['wire'] = 'base64',
  { concurrency = 16, requests = 600 } = {},
): Contender => ({ client, name, wire, concurrency, requests, microseconds: [] })

const bare = contender('bare', 'bare sockets')
const ours = contender('ours', 'reembed')
const fetching = contender('fetch', 'fetch')
const four = contender('ours', 'reembed', 'base64', { concurrency: 4 })
const sixtyFour = contender('ours', 'reembed', 'base64', { concurrency: 64 })
const openai = contender('openai', 'openai 6.49', 'base64', { requests: 150 })
const huggingface = contender('huggingface', '@huggingface/inference 4.13', 'float', { requests: 150 })
const h2c = contender('h2c', "reembed's decode", 'base64, h2c', { requests: 300 })
const baseten = contender(
  'baseten',
  '@basetenlabs/performance-client 0.0.10, a call a request',
  'float, h2c',
  {
    requests: 150,
  },
)
const basetenAtOnce = contender(
  'basetenAtOnce',
  '@basetenlabs/performance-client 0.0.10, one call',
  'float, h2c',
  {
    requests: 150,
  },
)
const contenders = [bare, ours, fetching, four, sixtyFour, openai, huggingface, h2c, baseten, basetenAtOnce]

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
const [{ url, h2cUrl }] = await once(server, 'message')
const clients = new Map<string, ChildProcess>()
let sent = 0
for (let round = -1; round < ROUNDS; round++) {
  for (const { client, concurrency, requests, microseconds } of contenders) {
    const child = clients.get(client) ?? start('client/round.ts', client, url, h2cUrl)
    clients.set(client, child)
    const { cpuMicroseconds, others } = await ask<{ cpuMicroseconds: number; others: number }>(child, {
      requests,
      concurrency,
    })
    sent += requests + others
    // The first round only warms up.
    if (round >= 0) microseconds.push(cpuMicroseconds / (requests * INPUTS))
  }
}
const { requests: counted } = await ask<{ requests: number }>(server, {})
finished = true
for (const child of [server, ...clients.values()]) child.kill()
if (counted !== sent) throw new Error(`the clients counted ${sent} requests, the server ${counted}`)

const of = ({ microseconds }: Contender): readonly [number, number, number] => {
  const sorted = microseconds.toSorted((a, b) => a - b)
  return [sorted[sorted.length >> 1] ?? Number.NaN, sorted[0] ?? Number.NaN, sorted.at(-1) ?? Number.NaN]
}
const ratio = (one: Contender, other: Contender): number => of(one)[0] / of(other)[0]

console.log('| client | wire | at once | CPU µs/embedding (min to max) | times reembed |')
console.log('|---|---|---|---|---|')
for (const one of contenders) {
  const [median, low, high] = of(one).map(value => value.toFixed(1))
  console.log(
    `| ${one.name} | ${one.wire} | ${one.concurrency} | ${median} (${low} to ${high}) | ${ratio(one, ours).toFixed(2)} |`,
  )
}
const bestBaseten = of(baseten)[0] < of(basetenAtOnce)[0] ? baseten : basetenAtOnce
const claims: [string, number, number][] = [
  ['of bare sockets', ratio(ours, bare), 1.6],
  ['of fetch', ratio(ours, fetching), 0.5],
  ['of openai', ratio(ours, openai), 1 / 6],
  ['of @huggingface/inference', ratio(ours, huggingface), 1 / 7],
  ['of @basetenlabs/performance-client', ratio(ours, bestBaseten), 1 / 10],
  ['of @basetenlabs/performance-client, both h2c', ratio(h2c, bestBaseten), 1 / 7],
  ['concurrency 64 of concurrency 4', ratio(sixtyFour, four), 1.5],
]
for (const [what, value, limit] of claims) {
  console.log(
    `${value <= limit ? 'held  ' : 'BROKEN'}  ${value.toFixed(3)} ${what}, at most ${limit.toFixed(3)}`,
  )
}
console.log(`${counted} requests, ${counted} counted by the server; every vector bit-exact`)
process.exitCode = claims.every(([, value, limit]) => value <= limit) ? 0 : 1
