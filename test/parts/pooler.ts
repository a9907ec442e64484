// A TCP server between clients of PostgreSQL and its servers, as poolers and endpoints of replicas
// are: it invents the process ids that clients receive, and chooses a server for each connection.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Pooler extends AsyncDisposable {
  readonly port: number
  /** Connections that clients closed, or that were refused. */
  readonly ended: number
  /** Sends nothing more to the clients of the present connections, not even their end. */
  mute(): void
}

/** BackendKeyData of the protocol: 'K', length, process id, secret key. */
const KEY_DATA = Buffer.from([0x4b, 0, 0, 0, 12])
const INVENTED_PID = 2_000_000_000

/**
 * @param targetOf port of the server for the n-th connection, from 0; undefined refuses it
 */
export async function startPooler(targetOf: (connection: number) => number | undefined): Promise<Pooler> {
  const sockets = new Set<Socket>()
  let connections = 0
  let ended = 0
  let muted = 0
  const server = createServer({ allowHalfOpen: true }, socket => {
    const n = connections
    connections += 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      ended += 1
    })
    const port = targetOf(n)
    if (port === undefined) {
      socket.destroy()
      return
    }
    const behind = connect(port, '127.0.0.1')
    sockets.add(behind)
    behind.on('error', () => {})
    const isMute = (): boolean => n < muted
    behind.on('data', chunk => {
      const at = chunk.indexOf(KEY_DATA)
      if (at !== -1) chunk.writeInt32BE(INVENTED_PID, at + KEY_DATA.length)
      if (!isMute()) socket.write(chunk)
    })
    behind.on('end', () => {
      if (!isMute()) socket.end()
    })
    socket.on('data', chunk => behind.write(chunk))
    socket.on('end', () => behind.end())
    socket.on('close', () => behind.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    get ended() {
      return ended
    },
    mute() {
      muted = connections
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
