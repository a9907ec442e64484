// Detects the default prompt that a TEI puts in front of each text. /info does not state it, but
// /tokenize applies it too, and its offsets count from the start of prompt and text together.

import { attempt, type Server } from './server.ts'
import type { ExchangeOptions } from './transport.ts'

const MARKER = 'zebra'

/** The server's default prompt; '' for none, null where it cannot be determined. */
export async function readAppliedPrompt(
  { transport, basePath, timeoutMs }: Server,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const exchange: ExchangeOptions = {
    method: 'POST',
    path: `${basePath}/tokenize`,
    headers: ['content-type', 'application/json'],
    body: JSON.stringify({ inputs: MARKER, add_special_tokens: false }),
    timeoutMs,
    signal,
  }
  const read = await attempt(() =>
    transport.exchange(exchange, reply => (reply.status === 200 ? promptIn(reply.body.toString()) : null)),
  )
  return typeof read === 'string' ? read : null
}

/**
 * The text of the tokens before the marker; null if the reply is not a list of tokens with offsets.
 */
function promptIn(body: string): string | null {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return null
  }
  const tokens: unknown = Array.isArray(json) ? json[0] : null
  if (!Array.isArray(tokens)) return null
  const spans = tokens.filter(isSpan)
  const end = Math.max(0, ...spans.map(({ stop }) => stop))
  if (end < MARKER.length) return null
  // Tokenisers leave out white space.
  const characters: string[] = Array(end - MARKER.length).fill(' ')
  for (const { text, start, stop } of spans) {
    const said = [...text]
    // A tokeniser's spelling, such as ##ing, can be longer than the text that it covers.
    const fitting = said.slice(Math.max(0, said.length - (stop - start)))
    for (const [i, character] of fitting.entries()) {
      if (start + i < characters.length) characters[start + i] = character
    }
  }
  return characters.join('')
}

interface Span {
  readonly text: string
  readonly start: number
  readonly stop: number
}

const isSpan = (token: unknown): token is Span => {
  const { text, start, stop, special } = Object(token)
  return typeof text === 'string' && Number.isInteger(start) && Number.isInteger(stop) && special !== true
}
