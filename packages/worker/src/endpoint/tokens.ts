// How many tokens the server makes of texts: POST /tokenize, which needs no permit and computes no vector. What it
// puts in front of every text by itself is counted too, as /tokenize applies it.

import { attempt, type Server } from './server.ts'
import type { ExchangeOptions } from './wire.ts'

const REQUESTS_AT_ONCE = 4

/** Tokens of each text, framing tokens included; null where the server cannot tell. `most` texts go in one request. */
export async function countTokens(
  { wire, base, timeoutMs }: Server,
  texts: readonly string[],
  most: number,
  signal: AbortSignal | undefined,
): Promise<number[] | null> {
  const counts: (number[] | null)[] = []
  const ask = async (from: number): Promise<void> => {
    const exchange: ExchangeOptions = {
      method: 'POST',
      path: `${base}/tokenize`,
      headers: ['content-type', 'application/json'],
      body: JSON.stringify({ inputs: texts.slice(from, from + most), add_special_tokens: true }),
      timeoutMs,
      signal,
    }
    const read = await attempt(() =>
      wire.exchange(exchange, reply => (reply.status === 200 ? lengthsIn(reply.body.toString()) : null)),
    )
    counts[from / most] = Array.isArray(read) ? read : null
  }
  const starts = Array.from({ length: Math.ceil(texts.length / most) }, (_, i) => i * most)
  while (starts.length > 0) await Promise.all(starts.splice(0, REQUESTS_AT_ONCE).map(ask))
  const all = counts.flatMap(one => one ?? [])
  return all.length === texts.length ? all : null
}

function lengthsIn(body: string): number[] | null {
  try {
    const json: unknown = JSON.parse(body)
    return Array.isArray(json) && json.every(Array.isArray) ? json.map(({ length }) => length) : null
  } catch {
    return null
  }
}
