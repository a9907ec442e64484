// Reads a JSON body as axum 0.7's `Json` extractor does: checks content type, then length, then
// syntax.

import type { IncomingMessage } from 'node:http'
import { messageOf } from '@reembed/shared'
import { HttpRejection } from './errors.ts'

/**
 * Reads a JSON body of at most `limit` bytes.
 * @throws HttpRejection 415, 413 or 400
 * @throws the error of the stream if the client disconnects
 */
export async function readJson(request: IncomingMessage, limit: number): Promise<unknown> {
  if (!/^application\/([^;]+\+)?json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    throw new HttpRejection(415, 'Expected request with `Content-Type: application/json`')
  }
  return parseJson(await readBody(request, limit))
}

async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  if (Number(request.headers['content-length']) > limit) throw tooLarge()
  const chunks: Buffer[] = []
  let length = 0
  // Not `for await`: leaving that loop early would destroy the socket before the 413 is written.
  await new Promise<void>((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > limit) {
        chunks.length = 0
        request.removeAllListeners('data').resume()
        reject(tooLarge())
      } else {
        chunks.push(chunk)
      }
    })
    request.on('end', resolve).on('error', reject)
  })
  return Buffer.concat(chunks)
}

const tooLarge = (): HttpRejection =>
  new HttpRejection(413, 'Failed to buffer the request body: length limit exceeded')

function parseJson(body: Buffer): unknown {
  try {
    // serde_json accepts neither a byte order mark nor invalid UTF-8, so a gzip body is a 400 too.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
    const value: unknown = JSON.parse(text)
    if (/\\u[dD][89a-fA-F]/.test(text)) refuseLoneSurrogates(value)
    return value
  } catch (error) {
    throw new HttpRejection(400, `Failed to parse the request body as JSON: ${messageOf(error)}`)
  }
}

/** JavaScript strings may contain lone surrogates, Rust strings may not. */
function refuseLoneSurrogates(value: unknown): void {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new SyntaxError('lone leading surrogate in hex escape')
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      refuseLoneSurrogates(key)
      refuseLoneSurrogates(member)
    }
  }
}
