// A link to a server on this machine, in a process of its own: each byte arrives half the round
// trip later, and with TLS the handshake crosses the same link. The kernel's own handshake of TCP
// takes no time.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { SELF_SIGNED } from '../../test/parts/self-signed.ts'

const [port, roundTripMs, tls] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4] === 'tls']
let connections = 0

/** Passes bytes on after `ms`, in order, and the end of a connection behind them. */
function delay(from: Socket, to: Socket, ms: number): void {
  const later = (act: () => void): void => {
    if (ms === 0) act()
    else setTimeout(act, ms)
  }
  from.on('data', bytes => later(() => to.write(bytes)))
  from.on('end', () => later(() => to.end()))
  from.on('error', () => to.destroy())
  from.on('close', () => later(() => to.destroy()))
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Joins each connection with one to `target`. */
const join =
  (target: number, ms: number) =>
  (socket: Socket): void => {
    const behind = connect({ port: target, host: '127.0.0.1', noDelay: true })
    socket.setNoDelay(true)
    delay(socket, behind, ms)
    delay(behind, socket, ms)
  }

const inner = tls ? await listen(createTlsServer(SELF_SIGNED, join(port, 0))) : port
const outer = createServer(socket => {
  connections += 1
  join(inner, roundTripMs / 2)(socket)
})
const address = `${tls ? 'https' : 'http'}://localhost:${await listen(outer)}`
process.on('message', () => process.send?.({ connections }))
process.on('disconnect', () => process.exit())
process.send?.({ url: address })
