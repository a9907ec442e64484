// A TCP server in front of another that can hold back replies and give them all at once.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface HeldTcp extends AsyncDisposable {
  readonly port: number
  /** Holds back later replies on connections that have never sent these bytes. */
  hold(except: string): void
  /** Gives what waited, a connection's replies in one piece. */
  release(): void
}

/** To be put between a client and a server on this machine. */
export async function startHeldTcp(target: number): Promise<HeldTcp> {
  const links = new Set<{ socket: Socket; behind: Socket; sent: string; held: Buffer[] }>()
  let exempt: string | undefined
  const server = createServer(socket => {
    const behind = connect(target, '127.0.0.1')
    const link = { socket, behind, sent: '', held: [] as Buffer[] }
    links.add(link)
    socket.on('data', bytes => {
      link.sent += bytes.toString('latin1')
      behind.write(bytes)
    })
    behind.on('data', bytes => {
      if (exempt === undefined || link.sent.includes(exempt)) socket.write(bytes)
      else link.held.push(bytes)
    })
    for (const [end, other] of [
      [socket, behind],
      [behind, socket],
    ] as const) {
      end.on('error', () => {})
      end.on('close', () => other.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    hold(except) {
      exempt = except
    },
    release() {
      exempt = undefined
      for (const { socket, held } of links) socket.write(Buffer.concat(held.splice(0)))
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of links) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
