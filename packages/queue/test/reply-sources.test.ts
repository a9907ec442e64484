// Connections that the client of Redis opens by itself, to Sentinels and for the slots of a
// Cluster, against servers that answer them without end, or not at all.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { LIMITS, withDeadlines } from '@reembed/shared'
import { RedisConnection } from 'bullmq'
import type { Redis } from 'ioredis'
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

const open = (url: string): Redis => {
  const client = withDeadlines({ timeoutMs: 3_000 }, () => connectRedis(url))
  client.on('error', () => {})
  stack.push({
    async [Symbol.asyncDispose]() {
      client.disconnect()
    },
  })
  return client
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

test('BullMQ gets a duplicate behind Sentinels although its first connection closes', async () => {
  const known = new Set<Socket>()
  let mayOpen = true
  let closed = 0
  const info = ['redis_version:7.2.0', 'loading:0', 'maxmemory_policy:noeviction', ''].join('\r\n')
  const primary = await serve(([name], socket) => {
    if (mayOpen) known.add(socket)
    else if (!known.has(socket) && closed++ === 0) socket.destroy()
    if (!socket.destroyed) socket.write(name === 'info' ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
  })
  const sentinel = await serve(([name, part], socket) => {
    if (name !== 'sentinel') socket.write('+OK\r\n')
    else if (part === 'get-master-addr-by-name')
      socket.write(`*2\r\n$9\r\n127.0.0.1\r\n$${`${primary}`.length}\r\n${primary}\r\n`)
    else socket.write('*0\r\n')
  })
  const client = open(`redis+sentinel://127.0.0.1:${sentinel}/primary`)
  if (client.status !== 'ready') await once(client, 'ready')
  mayOpen = false
  const copy = client.duplicate()
  copy.on('error', () => {})
  const connection = new RedisConnection(copy, { shared: true, blocking: true })
  connection.on('error', () => {})
  try {
    await connection.client
    expect(closed).toBeGreaterThan(0)
    expect(copy.status).toBe('ready')
  } finally {
    copy.disconnect()
  }
})
