// One client in a process of its own: does a round when told, and answers with the CPU time it
// took.

import { connect, type Socket } from 'node:net'
import { type Endpoint, openEndpoint } from '@reembed/endpoint'
import { overH2c } from './h2c.ts'
import { type Ask, baseten, basetenAtOnce, huggingface, openai, type Rows } from './peers.ts'
import { DIMENSIONS, texts, vectorOf } from './wire.ts'

/** Sends the texts once; writes the vectors to `vectors`, or returns them as arrays. */
type Send = (vectors: Float32Array) => Promise<Rows | undefined>

const [, , kind, url = '', h2cUrl = ''] = process.argv
const expected = texts.map((_, i) => Buffer.from(vectorOf(i).buffer))
const bodyOf = (): string => JSON.stringify({ input: texts, encoding_format: 'base64' })

/** The decode of all three; checks only that the vectors exist. */
function decode(reply: Buffer, vectors: Float32Array): void {
  const bytes = Buffer.from(vectors.buffer)
  let at = 0
  for (let i = 0; i < texts.length; i++) {
    const start = reply.indexOf('"embedding":"', at, 'latin1') + 13
    at = start + DIMENSIONS * 4 * (4 / 3)
    bytes.write(reply.toString('latin1', start, at), i * DIMENSIONS * 4, 'base64')
  }
}

const senders: Record<string, (count: number) => Promise<Send[]>> = {
  async ours(count) {
    const endpoint = await ourEndpoint()
    const rows = texts.map((_, i) => i)
    return Array.from({ length: count }, () => async (vectors: Float32Array) => {
      const outcome = await endpoint.request(texts, vectors, { rows })
      if (outcome.kind !== 'ok' || outcome.badRows.length > 0) throw new Error(JSON.stringify(outcome))
      return undefined
    })
  },
  async bare(count) {
    return Promise.all(Array.from({ length: count }, openBare))
  },
  async fetch(count) {
    return Array.from({ length: count }, () => async (vectors: Float32Array) => {
      const headers = { 'content-type': 'application/json' }
      const reply = await fetch(`${url}/v1/embeddings`, { method: 'POST', headers, body: bodyOf() })
      decode(Buffer.from(await reply.arrayBuffer()), vectors)
      return undefined
    })
  },
  h2c: async count => lanes(count, await overH2c(h2cUrl)),
  openai: async count => lanes(count, openai(url)),
  huggingface: async count => lanes(count, huggingface(url)),
  baseten: async count => lanes(count, baseten(h2cUrl)),
}

const lanes = (count: number, send: Send | Ask): Send[] => Array.from({ length: count }, () => send)

let endpoint: Promise<Endpoint> | undefined
/** Requests that are sent to open the endpoint: /info and one probe for each route. */
let others = 0
function ourEndpoint(): Promise<Endpoint> {
  if (endpoint === undefined) others += 3
  endpoint ??= openEndpoint(url)
  return endpoint
}

const sockets: Socket[] = []

/** A socket, one write, and one buffer for all its replies. */
async function openBare(): Promise<Send> {
  const { hostname, port, host } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  sockets.push(socket)
  const reply = Buffer.allocUnsafeSlow(1024 * 1024)
  let length = 0
  let end = 0
  let done = (): void => {}
  socket.on('data', chunk => {
    reply.set(chunk, length)
    length += chunk.length
    if (end === 0) {
      const head = reply.indexOf('\r\n\r\n')
      end = head + 4 + Number(/content-length: (\d+)/i.exec(reply.toString('latin1', 0, head))?.[1])
    }
    if (length >= end) done()
  })
  return vectors =>
    new Promise(resolve => {
      length = 0
      end = 0
      done = () => {
        decode(reply.subarray(0, length), vectors)
        resolve(undefined)
      }
      const body = bodyOf()
      const head = `POST /v1/embeddings HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
      socket.cork()
      socket.write(head, 'latin1')
      socket.write(body)
      socket.uncork()
    })
}

async function round(requests: number, concurrency: number): Promise<number> {
  if (kind === 'basetenAtOnce') return atOnce(requests, concurrency)
  const sends = (await senders[kind ?? '']?.(concurrency)) ?? []
  const outputs = sends.map(() => new Float32Array(texts.length * DIMENSIONS))
  const before = process.cpuUsage()
  let left = requests
  const handedOut: (Rows | undefined)[] = []
  await Promise.all(
    sends.map(async (send, i) => {
      while (left-- > 0) handedOut[i] = await send(outputs[i] ?? new Float32Array())
    }),
  )
  const { user, system } = process.cpuUsage(before)
  for (const [i, rows] of handedOut.entries()) if (rows) outputs[i]?.set(rows.flat())
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const vectors of outputs) {
    for (const [row, bytes] of expected.entries()) {
      const offset = row * bytes.length
      if (!bytes.equals(Buffer.from(vectors.buffer, offset, bytes.length)))
        throw new Error(`row ${row} is wrong`)
    }
  }
  return user + system
}

async function atOnce(requests: number, concurrency: number): Promise<number> {
  const before = process.cpuUsage()
  const rows = await basetenAtOnce(h2cUrl, requests, concurrency)
  const { user, system } = process.cpuUsage(before)
  if (rows.length !== requests * texts.length) throw new Error(`${rows.length} rows`)
  for (const [i, row] of rows.entries()) {
    if (expected[i % texts.length]?.equals(Buffer.from(Float32Array.from(row).buffer)) !== true) {
      throw new Error(`row ${i} is wrong`)
    }
  }
  return user + system
}

process.on('message', async ({ requests, concurrency }: { requests: number; concurrency: number }) => {
  others = 0
  process.send?.({ cpuMicroseconds: await round(requests, concurrency), others })
})
process.on('disconnect', () => process.exit())
