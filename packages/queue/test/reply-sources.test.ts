// Connections that the client of Redis opens by itself, to Sentinels and for the slots of a
// Cluster, against servers that answer them without end, or not at all.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { LIMITS, withDeadlines } from '@reembed/shared'
import { afterEach, expect, test, vi } from 'vitest'
import { connectRedis } from '../src/redis-client.ts'

const stack: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of stack.splice(0)) await each[Symbol.asyncDispose]()
})

/** A server of the Redis protocol: `answer` gets each command as its words in lower case. */
async function serve(answer: (words: readonly string[], socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.setEncoding('latin1').on('data', (text: string) => {
      for (const command of text.split(/^(?=\*\d+\r\n)/m))
        answer(
          [...command.matchAll(/\$\d+\r\n([^\r]*)/g)].map(([, word = '']) => word.toLowerCase()),
          socket,
        )
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.push({
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  })
  return (server.address() as AddressInfo).port
}

/** Sends bytes until the peer ends the connection; resolves with what it took of them. */
async function flood(socket: Socket): Promise<number> {
  const piece = Buffer.alloc(2 ** 20, 'x')
  socket.write(`$${4 * LIMITS.redisReplyBytes}\r\n`)
  // Also after a reset, which `once` would report as a failure.
  const ended = new Promise(resolve => socket.once('close', resolve))
  for (let sent = 0; sent < 4 * LIMITS.redisReplyBytes && !socket.destroyed; sent += piece.length) {
    const drained = new Promise(resolve => socket.once('drain', resolve))
    if (!socket.write(piece)) await Promise.race([drained, ended])
  }
  await ended
  return socket.bytesWritten
}

const open = (url: string): void => {
  const client = withDeadlines({ timeoutMs: 3_000 }, () => connectRedis(url))
  client.on('error', () => {})
  stack.push({
    async [Symbol.asyncDispose]() {
      client.disconnect()
    },
  })
}

test('P-BOUNDED: a Sentinel whose reply does not end is left, and the next one is asked', async () => {
  const taken: Promise<number>[] = []
  const endless = await serve((words, socket) => {
    if (words[0] === 'sentinel') taken.push(flood(socket))
    else socket.write('+OK\r\n')
  })
  const asked = vi.fn()
  const next = await serve(words => asked(words[0]))
  open(`redis+sentinel://127.0.0.1:${endless},127.0.0.1:${next}/primary`)
  await vi.waitFor(() => expect(asked).toHaveBeenCalled(), 20_000)
  expect(await taken[0]).toBeLessThan(LIMITS.redisReplyBytes)
})

test('a Sentinel that accepts a connection without a reply does not hide the next one', async () => {
  const silent = await serve(() => {})
  const asked = vi.fn()
  const next = await serve(words => asked(words[0]))
  open(`redis+sentinel://127.0.0.1:${silent},127.0.0.1:${next}/primary`)
  await vi.waitFor(() => expect(asked).toHaveBeenCalled(), 20_000)
})

test('P-BOUNDED: the slots of a Cluster are a reply with a limit', async () => {
  const taken: Promise<number>[] = []
  const port = await serve(([name, part], socket) => {
    if (name === 'cluster' && part === 'slots') taken.push(flood(socket))
    else if (name === 'info') socket.write('$17\r\nloading:0\r\nrole:m\r\n')
    else socket.write('+OK\r\n')
  })
  open(`redis+cluster://127.0.0.1:${port}`)
  await vi.waitFor(() => expect(taken.length).toBeGreaterThan(0), 20_000)
  expect(await taken[0]).toBeLessThan(LIMITS.redisReplyBytes)
})
