// Faults of one reply, down to the bytes on the socket. The fake TEI, the load balancer and the
// fake HF proxy accept them.

import type { ServerResponse } from 'node:http'
import { type Reply, type ReplyOverride, writeReply } from '@reembed/local'
import type { Clock } from '@reembed/shared'

/**
 * A fault of one reply.
 * @example
 * ```ts
 * import { startFakeTei } from '@reembed/testing'
 *
 * await using tei = await startFakeTei()
 * tei.faults.request = ({ number }) =>
 *   number === 2 ? { kind: 'reset', afterBytes: 100 } : undefined
 * ```
 */
export type Fault =
  /** Sends this reply and computes nothing. */
  | { readonly kind: 'reply'; readonly reply: Reply }
  /** Replaces the body of the reply, for example by missing or reordered rows. */
  | { readonly kind: 'edit'; readonly edit: (body: string) => string }
  /** Resets the connection: before the status line, or after `afterBytes` bytes of the body. */
  | { readonly kind: 'reset'; readonly afterBytes?: number }
  /** Ends the body after `afterBytes` bytes: valid HTTP with incomplete JSON. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Sends `afterBytes` bytes of the body (default: not even headers), then nothing. */
  | { readonly kind: 'stall'; readonly afterBytes?: number }
  /** Sends the body in pieces of `bytes` bytes, each in its own write. */
  | { readonly kind: 'split'; readonly bytes: number }
  /** Delays the reply by `ms` milliseconds of the server's clock. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Keeps the connection alive, and resets it when the next request arrives on it. */
  | { readonly kind: 'close_idle' }

/** Translates a fault into the override that a protocol server applies. */
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
            // The keep-alive race: the server closes the connection while the next request is in
            // transit.
            socket?.removeAllListeners('data').once('data', () => socket.resetAndDestroy())
            socket?.resume()
          })
        },
      }
  }
}

/** Writes the head and the first bytes of the body. */
function startOf(response: ServerResponse, reply: Reply, bytes: number, then?: () => void): void {
  const body = bodyOf(reply)
  response.writeHead(reply.status ?? 200, { ...headersOf(reply), 'content-length': body.length })
  response.write(body.subarray(0, bytes), () => then?.())
  // Node sends the head together with the first body byte, and here there may be none.
  response.flushHeaders()
}

async function inPieces(response: ServerResponse, reply: Reply, bytes: number): Promise<void> {
  const body = bodyOf(reply)
  response.writeHead(reply.status ?? 200, { ...headersOf(reply), 'content-length': body.length })
  response.socket?.setNoDelay(true)
  for (let at = 0; at < body.length && !response.destroyed; at += bytes) {
    await new Promise(resolve => response.write(body.subarray(at, at + bytes), resolve))
    // Lets the reader receive this piece before the next one is written.
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

/**
 * The HTML error page of a proxy that cannot reach its upstream.
 * @example
 * ```ts
 * import { htmlPage, startFakeTei } from '@reembed/testing'
 *
 * await using tei = await startFakeTei()
 * tei.faults.request = () => ({ kind: 'reply', reply: htmlPage(502, 'Bad Gateway') })
 * ```
 */
export const htmlPage = (status: number, title: string): Reply => ({
  status,
  text: `<html>\r\n<head><title>${status} ${title}</title></head>\r\n<body>\r\n<center><h1>${status} ${title}</h1></center>\r\n</body>\r\n</html>\r\n`,
  headers: { 'content-type': 'text/html' },
})
