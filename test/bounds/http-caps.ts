// The limits of replies of servers, and of requests to the servers of reembed, at the limit and
// beyond it, over real HTTP.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { serveConsole } from '@reembed/console'
import { openEndpoint } from '@reembed/endpoint'
import { serveHooks } from '@reembed/producer'
import { LIMITS, messageOf, withDeadlines } from '@reembed/shared'
import { createHubClient } from '@reembed/store'
import { type HttpStandIn, serveHttp } from '../parts/serve-http.ts'
import type { CapTrial } from './caps.ts'
import { computedStore } from './store.ts'

const SECRET = 'a-secret-of-28-characters-00'
const PIECE = Buffer.alloc(2 ** 20, ' ')

const orMessage = (read: Promise<unknown>): Promise<string> =>
  read.then(
    value => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'read')).slice(0, 300),
    messageOf,
  )

/** Serves a JSON value behind so many spaces that the body has `bytes`. */
function padded(value: unknown, bytes: number, status = 200): Promise<HttpStandIn> {
  const json = Buffer.from(JSON.stringify(value))
  function* body(): Generator<Buffer> {
    for (let left = bytes - json.length; left > 0; left -= PIECE.length)
      yield PIECE.subarray(0, Math.min(left, PIECE.length))
    yield json
  }
  return serveHttp((_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    // The client closes the connection when it has read enough.
    pipeline(Readable.from(body()), response).catch(() => {})
  })
}

async function around(limit: number, far: number, tryOne: (bytes: number) => Promise<string>) {
  const found: string[] = []
  for (const bytes of [limit, far]) found.push(await tryOne(bytes))
  return found
}

export const hubReplyBytes: CapTrial = {
  what: 'a reply of the Hub of 32 MiB, and of 1 GB',
  most: 512,
  outcomes: [/a{40}/, /longer than 33554432 bytes/],
  run: () =>
    around(LIMITS.hubReplyBytes, 1e9, async bytes => {
      await using hub = await padded({ sha: 'a'.repeat(40) }, bytes)
      const client = createHubClient({
        endpoint: hub.url,
        codes: { unreachable: 'ENDPOINT_UNREACHABLE', accessDenied: 'USAGE' },
      })
      return await orMessage(client.json('/any', { subject: 'a model' }).then(reply => reply?.value))
    }),
}

export const sinkReplyBytes: CapTrial = {
  what: 'a reply of a vector store of 32 MiB, and of 1 GB',
  most: 512,
  outcomes: [/"status":200/, /33554432 bytes/],
  run: () =>
    around(LIMITS.sinkReplyBytes, 1e9, async bytes => {
      const { createHttpClient } = await import('../../packages/shared/src/json-client.ts')
      await using store = await padded({ good: true }, bytes)
      return await orMessage(createHttpClient(`qdrant+${store.url}`, {}).request('GET', '/'))
    }),
}

export const replyBytes: CapTrial = {
  what: 'a reply of an endpoint of 64 MiB, and of 1 GB',
  most: 512,
  outcomes: [/.+/, /longer than 67108864 bytes/],
  run: () =>
    around(LIMITS.replyBytes, 1e9, async bytes => {
      await using server = await padded({ model_id: 'm' }, bytes)
      return await withDeadlines({ timeoutMs: 20_000 }, () =>
        orMessage(
          (async () => {
            await using endpoint = await openEndpoint(server.url)
            return endpoint.info.modelId
          })(),
        ),
      )
    }),
}

export const endpointErrorBytes: CapTrial = {
  what: 'an error of an endpoint of 4 KiB, and of 60 MB',
  most: 512,
  outcomes: [/HTTP 400/, /HTTP 400/],
  run: () =>
    around(LIMITS.endpointErrorBytes, 60e6, async bytes => {
      await using server = await padded({ error: 'no' }, bytes, 400)
      return await withDeadlines({ timeoutMs: 20_000 }, () =>
        orMessage(openEndpoint(server.url).then(endpoint => endpoint[Symbol.asyncDispose]())),
      )
    }),
}

async function withHooks<T>(use: (url: string) => Promise<T>): Promise<T> {
  await using hooks = await serveHooks({ listen: '0', secret: SECRET, onHook: () => {} })
  return await use(hooks.url)
}

const send = async (
  url: string,
  body: string | undefined,
  headers: Record<string, string> = {},
): Promise<string> =>
  fetch(`${url}/hooks/generic`, {
    method: 'POST',
    headers: { authorization: `Bearer ${SECRET}`, ...headers },
    ...(body !== undefined && { body }),
  }).then(
    reply => `status ${reply.status}`,
    () => 'closed',
  )

export const connections: CapTrial = {
  what: 'connections to the server of hooks: 64, and 1,500',
  most: 512,
  outcomes: [/^64 open$/, /^64 open$/],
  run: () =>
    around(LIMITS.connections, 1_500, count =>
      withHooks(async url => {
        const { port, hostname } = new URL(url)
        const sockets: Socket[] = []
        let ended = 0
        const closed = Promise.withResolvers<void>()
        const settle = (): void => {
          if (ended >= count - LIMITS.connections) closed.resolve()
        }
        for (let n = 0; n < count; n += 1) {
          const socket = connect(Number(port), hostname)
          socket.on('error', () => {})
          socket.on('close', () => {
            ended += 1
            settle()
          })
          await once(socket, 'connect')
          sockets.push(socket)
        }
        settle()
        await closed.promise
        const open = count - ended
        for (const socket of sockets) socket.destroy()
        return `${open} open`
      }),
    ),
}

export const headerBytes: CapTrial = {
  what: 'headers of 7 KiB, and of 9 KiB',
  most: 256,
  outcomes: [/^status 202$/, /^status 431$|^closed$/],
  run: () =>
    withHooks(async url => [
      await send(url, '{}', { 'x-pad': 'x'.repeat(LIMITS.headerBytes - 1024) }),
      await send(url, '{}', { 'x-pad': 'x'.repeat(LIMITS.headerBytes + 1024) }),
    ]),
}

export const hookBodyBytes: CapTrial = {
  what: 'the body of a hook of 1 MiB, and one byte more',
  most: 256,
  outcomes: [/^status 202$/, /^status 413$/],
  run: () =>
    withHooks(url =>
      around(LIMITS.hookBodyBytes, LIMITS.hookBodyBytes + 1, bytes => send(url, ' '.repeat(bytes))),
    ),
}

export const hookBodies: CapTrial = {
  what: 'bodies of hooks that do not end: 8, and one more',
  most: 256,
  outcomes: [/^8 are read$/, /^status 503$/],
  run: () =>
    withHooks(async url => {
      const { port, hostname } = new URL(url)
      const sockets = Array.from({ length: LIMITS.hookBodies }, () => {
        const socket = connect(Number(port), hostname)
        socket.on('error', () => {})
        socket.write(
          `POST /hooks/generic HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${SECRET}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n`,
        )
        return socket
      })
      // The server asks for a body once it has begun to read it.
      const heads = await Promise.all(sockets.map(async socket => String((await once(socket, 'data'))[0])))
      const read = heads.filter(head => head.startsWith('HTTP/1.1 100')).length
      const beyond = await send(url, 'a body')
      for (const socket of sockets) socket.destroy()
      return [`${read} are read`, beyond]
    }),
}

export const hookDeliveries: CapTrial = {
  what: 'signed deliveries: 10,000, and one more',
  most: 256,
  outcomes: [/^new$/, /^full$/],
  async run() {
    const { createDeliveries } = await import('../../packages/producer/src/hooks.ts')
    const deliveries = createDeliveries()
    const found: string[] = []
    for (let n = 1; n <= LIMITS.hookDeliveries + 1; n += 1) {
      const outcome = deliveries.add(`signature ${n}`, 0)
      if (n >= LIMITS.hookDeliveries) found.push(outcome)
    }
    return found
  },
}

async function withConsole<T>(use: (url: string) => Promise<T>): Promise<T> {
  await using shown = await serveConsole({
    stores: [computedStore(() => undefined)],
    listen: '0',
    token: SECRET,
  })
  return await use(shown.url)
}

const form = (url: string, body: string): Promise<Response> =>
  fetch(`${url}/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: url },
    body,
  })

export const formBytes: CapTrial = {
  what: 'a form of 8 KiB, and one byte more',
  most: 256,
  outcomes: [/^303$/, /^413$/],
  run: () =>
    withConsole(url =>
      around(LIMITS.formBytes, LIMITS.formBytes + 1, async bytes =>
        String((await form(url, 'token='.padEnd(bytes, 'x'))).status),
      ),
    ),
}

export const sessions: CapTrial = {
  what: 'sessions: the first is signed in beside 999 others, and is forgotten for the 1,001st',
  most: 256,
  outcomes: [/^signed in$/, /^signed out$/],
  async run() {
    const { createAccess } = await import('../../packages/console/src/server/session.ts')
    const access = createAccess({ token: SECRET, actionsToken: undefined, onLoopback: false })
    const cookies = Array.from({ length: LIMITS.sessions }, () => access.exchange(SECRET, '', false))
    const state = (): string => {
      const cookie = cookies[0]?.split(';')[0]
      return access.viewer({ headers: { cookie } } as never) === undefined ? 'signed out' : 'signed in'
    }
    const first = state()
    access.exchange(SECRET, '', false)
    return [first, state()]
  },
}

export const queryCharacters: CapTrial = {
  what: 'a search of 1,000 characters, and of 7,000',
  most: 256,
  outcomes: [/^1000$/, /^1000$/],
  async run() {
    const { askedOf } = await import('../../packages/console/src/data/searches.ts')
    const lengths = [LIMITS.queryCharacters, 7 * LIMITS.queryCharacters]
    return lengths.map(length => String(askedOf('x'.repeat(length)).length))
  },
}

async function openStreams(
  count: number,
  bytes: number,
): Promise<readonly [statuses: number[], left: number]> {
  const { createEventStreams } = await import('../../packages/console/src/server/events.ts')
  const streams = createEventStreams()
  let text = ''
  const page = async () => {
    throw new Error(text)
  }
  await using server = await serveHttp((_, response) => streams.open(response, page, 'page'))
  const { port, hostname } = new URL(server.url)
  const statuses: number[] = []
  const sockets: Socket[] = []
  for (let n = 0; n < count; n += 1) {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const [head] = (await once(socket, 'data')) as [Buffer]
    statuses.push(Number(head.toString('latin1', 9, 12)))
    socket.pause()
    sockets.push(socket)
  }
  for (let sent = 0; sent < bytes && streams.readers > 0; sent += 2 ** 20) {
    text = 'x'.repeat(2 ** 20) + sent
    streams.publish()
    await new Promise(resolve => setImmediate(resolve))
  }
  const left = streams.readers
  streams.close()
  for (const socket of sockets) socket.destroy()
  return [statuses, left]
}

export const eventReaders: CapTrial = {
  what: 'pages that are kept up to date: 200, and 201',
  most: 256,
  outcomes: [/^200$/, /^503$/],
  async run() {
    const [statuses] = await openStreams(LIMITS.eventReaders + 1, 0)
    return statuses.slice(-2).map(String)
  },
}

export const unsentBytes: CapTrial = {
  what: 'a page that reads nothing of 1 MB, and of 200 MB',
  most: 256,
  outcomes: [/^1 readers$/, /^0 readers$/],
  run: () =>
    around(1e6, 200e6, async bytes => {
      const [, left] = await openStreams(1, bytes)
      return `${left} readers`
    }),
}
