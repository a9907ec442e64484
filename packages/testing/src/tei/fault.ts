// What can go wrong with one reply on its way, down to the bytes on the socket. A fake endpoint, its load balancer
// and the HF proxy all take these.

import type { ServerResponse } from 'node:http'
import { type Clock, type Reply, type ReplyOverride, writeReply } from '@reembed/local'

export type Fault =
  /** Another answer than the server's; nothing is computed. */
  | { readonly kind: 'reply'; readonly reply: Reply }
  /** The reply with another body: wrong rows, other dimensions, another order. */
  | { readonly kind: 'edit'; readonly edit: (body: string) => string }
  /** The connection is reset, before the status line or after so many bytes of body. */
  | { readonly kind: 'reset'; readonly afterBytes?: number }
  /** Complete HTTP, incomplete JSON: the body ends after so many bytes. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** So many bytes of body, then nothing more, on an open connection. */
  | { readonly kind: 'stall'; readonly afterBytes?: number }
  /** The body in pieces of so many bytes, each written by itself. */
  | { readonly kind: 'split'; readonly bytes: number }
  /** The reply takes this much longer. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Promises to keep the connection and closes it with the next request on it. */
  | { readonly kind: 'close_idle' }

/** How a protocol server is made to commit the fault. */
export function replyOverrideOf(fault: Fault, clock: Clock): ReplyOverride {
  switch (fault.kind) {
    case 'reply':
      return { reply: fault.reply }
    case 'edit':
      return { write: (response, reply) => writeReply(response, edited(reply, fault.edit)) }
    case 'cut':
      return {
        write: (response, reply) =>
          writeReply(
            response,
            edited(reply, body => body.slice(0, fault.afterBytes)),
          ),
      }
    case 'reset':
      return {
        write(response, reply) {
          if (fault.afterBytes === undefined) response.socket?.resetAndDestroy()
          else startOf(response, reply, fault.afterBytes, () => response.socket?.resetAndDestroy())
        },
      }
    case 'stall':
      return {
        write(response, reply) {
          if (fault.afterBytes !== undefined) startOf(response, reply, fault.afterBytes)
        },
      }
    case 'split':
      return { write: (response, reply) => void inPieces(response, reply, fault.bytes) }
    case 'delay':
      return {
        write(response, reply) {
          void clock.sleep(fault.ms).then(() => writeReply(response, reply))
        },
      }
    case 'close_idle':
      return {
        write(response, reply) {
          const { socket } = response
          writeReply(response, reply)
          response.once('finish', () => {
            // The race of a keep-alive timeout: the next request is on its way when this side closes.
            socket?.removeAllListeners('data').once('data', () => socket.resetAndDestroy())
            socket?.resume()
          })
        },
      }
  }
}

/** All of the head, and the first bytes of the body. */
function startOf(response: ServerResponse, reply: Reply, bytes: number, then?: () => void): void {
  const body = bodyOf(reply)
  response.writeHead(reply.status ?? 200, { ...headersOf(reply), 'content-length': body.length })
  response.write(body.subarray(0, bytes), () => then?.())
  // Without a body byte to carry it, the head would wait for one.
  response.flushHeaders()
}

async function inPieces(response: ServerResponse, reply: Reply, bytes: number): Promise<void> {
  const body = bodyOf(reply)
  response.writeHead(reply.status ?? 200, { ...headersOf(reply), 'content-length': body.length })
  response.socket?.setNoDelay(true)
  for (let at = 0; at < body.length && !response.destroyed; at += bytes) {
    await new Promise(resolve => response.write(body.subarray(at, at + bytes), resolve))
    // So that the reader is given the piece alone.
    await new Promise(setImmediate)
  }
  response.end()
}

const bodyOf = ({ json, text }: Reply): Buffer => Buffer.from(json ?? text ?? '')

const headersOf = ({ json, headers }: Reply): Record<string, string | number> => ({
  'content-type': json === undefined ? 'text/plain; charset=utf-8' : 'application/json',
  ...headers,
})

function edited(reply: Reply, edit: (body: string) => string): Reply {
  const { json, text, ...rest } = reply
  return json === undefined ? { ...rest, text: edit(text ?? '') } : { ...rest, json: edit(json) }
}

/** What a proxy shows when it cannot reach what stands behind it. */
export const htmlPage = (status: number, title: string): Reply => ({
  status,
  text: `<html>\r\n<head><title>${status} ${title}</title></head>\r\n<body>\r\n<center><h1>${status} ${title}</h1></center>\r\n</body>\r\n</html>\r\n`,
  headers: { 'content-type': 'text/html' },
})
