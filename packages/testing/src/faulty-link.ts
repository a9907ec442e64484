// A TCP server in front of another server that answers in the ways of a half-dead dependency. A
// test changes the fault at any time; connections that are open get it too.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type LinkFault =
  /** Accepts connections and sends nothing. With a TLS URL, the handshake is stuck. */
  | 'silent'
  /** Sends the replies of the server, one byte in `dripMs`. */
  | 'drips'
  /** Sends the first bytes of a reply, then closes the connection. */
  | 'stops'
  /** Sends bytes that belong to no protocol. */
  | 'nonsense'
  /** Sends 10 MB of text. */
  | 'endless'

export interface FaultyLink extends AsyncDisposable {
  readonly port: number
  /** Undefined: the connection is good. */
  fault: LinkFault | undefined
  /** Resolves with the time of the first connection, of `performance.now`. */
  readonly used: Promise<number>
}

export interface FaultyLinkOptions {
  /** Port of the server on this machine. */
  readonly target: number
  readonly fault?: LinkFault
  /** Milliseconds between two bytes of a dripping reply; default 50. */
  readonly dripMs?: number
}

const FIRST_BYTES = 40
const ENDLESS = Buffer.alloc(10_000_000, 'all work and no play ')
const NONSENSE = Buffer.from('\u0000\u0001banana\r\n\r\n'.repeat(100))

/** Starts a link on a free port of the loopback interface. */
export async function startFaultyLink({
  target,
  fault,
  dripMs = 50,
}: FaultyLinkOptions): Promise<FaultyLink> {
  const sockets = new Set<Socket>()
  const used = Promise.withResolvers<number>()
  const server = createServer(socket => {
    used.resolve(performance.now())
    const behind = connect(target, '127.0.0.1')
    const queue: Buffer[] = []
    let sent = 0
    const dripping = setInterval(() => {
      const [first] = queue
      if (link.fault !== 'drips' || first === undefined) return
      socket.write(first.subarray(0, 1))
      if (first.length > 1) queue[0] = first.subarray(1)
      else queue.shift()
    }, dripMs)
    for (const [end, other] of [
      [socket, behind],
      [behind, socket],
    ] as const) {
      sockets.add(end)
      end.on('error', () => {})
      end.on('close', () => {
        sockets.delete(end)
        clearInterval(dripping)
        other.destroy()
      })
    }
    socket.on('data', bytes => {
      if (link.fault === 'silent') return
      if (link.fault === 'nonsense') socket.write(NONSENSE)
      else if (link.fault === 'endless') socket.write(ENDLESS)
      else behind.write(bytes)
    })
    behind.on('data', bytes => {
      if (link.fault === undefined) socket.write(bytes)
      else if (link.fault === 'drips') queue.push(bytes)
      else if (link.fault === 'stops') {
        socket.write(bytes.subarray(0, Math.max(0, FIRST_BYTES - sent)), () => socket.destroy())
        sent += bytes.length
      }
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const link = {
    port: (server.address() as AddressInfo).port,
    fault,
    used: used.promise,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return link
}
