import { attempt, type Server } from './server.ts'
import { truncateToBytes } from './text-bytes.ts'
import type { ExchangeOptions } from './transport.ts'

const REQUESTS_AT_ONCE = 4
/** Longer texts are counted by this prefix: a reply has some 60 bytes per token. */
const TEXT_BYTES = 64 * 1024
const REQUEST_BYTES = 256 * 1024

/**
 * Counts the tokens of each text by `POST /tokenize`, which needs no permit and runs no model.
 * Special tokens and the server's default prompt are included. A text over 64 KiB is counted by its
 * prefix and extrapolated.
 * @returns null where the server cannot count
 */
export async function countTokens(
  { transport, basePath, timeoutMs }: Server,
  texts: readonly string[],
  maxTexts: number,
  signal: AbortSignal | undefined,
): Promise<number[] | null> {
  const inputs = texts.map(text => truncateToBytes(text, TEXT_BYTES))
  const counts: (number[] | null)[] = []
  const ask = async ({ from, to }: Range, place: number): Promise<void> => {
    const exchange: ExchangeOptions = {
      method: 'POST',
      path: `${basePath}/tokenize`,
      headers: ['content-type', 'application/json'],
      body: JSON.stringify({ inputs: inputs.slice(from, to), add_special_tokens: true }),
      timeoutMs,
      signal,
    }
    const read = await attempt(() =>
      transport.exchange(exchange, reply => (reply.status === 200 ? lengthsIn(reply.body.toString()) : null)),
    )
    counts[place] = Array.isArray(read) ? read : null
  }
  const requests = pack(inputs, maxTexts)
  for (let at = 0; at < requests.length; at += REQUESTS_AT_ONCE) {
    await Promise.all(requests.slice(at, at + REQUESTS_AT_ONCE).map((range, i) => ask(range, at + i)))
  }
  const all = counts.flatMap(one => one ?? [])
  if (all.length !== texts.length) return null
  return all.map((count, i) =>
    Math.round((count * (texts[i]?.length ?? 0)) / Math.max(1, inputs[i]?.length ?? 0)),
  )
}

interface Range {
  readonly from: number
  readonly to: number
}

/** Groups adjacent texts into requests. */
function pack(inputs: readonly string[], most: number): Range[] {
  const ranges: Range[] = []
  let [from, bytes] = [0, 0]
  for (const [i, text] of inputs.entries()) {
    const size = Buffer.byteLength(text)
    if (i > from && (i - from === most || bytes + size > REQUEST_BYTES)) {
      ranges.push({ from, to: i })
      from = i
      bytes = 0
    }
    bytes += size
  }
  if (from < inputs.length) ranges.push({ from, to: inputs.length })
  return ranges
}

function lengthsIn(body: string): number[] | null {
  try {
    const json: unknown = JSON.parse(body)
    return Array.isArray(json) && json.every(Array.isArray) ? json.map(({ length }) => length) : null
  } catch {
    return null
  }
}
