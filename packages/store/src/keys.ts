// Keys are opaque strings, ordered by their UTF-8 bytes as in S3.

import { ReembedError } from '@reembed/shared'

/** Compares two keys by their UTF-8 bytes, without encoding them. */
export function compareKeys(a: string, b: string): number {
  const end = Math.min(a.length, b.length)
  for (let i = 0; i < end; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // UTF-16 has the same order except for surrogates: they encode characters above U+FFFF but are
    // below U+E000.
    return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1
  }
  return a.length - b.length
}

const isSurrogate = (unit: number): boolean => (unit & 0xf800) === 0xd800

/**
 * Returns a key of a store that is reached by URLs. Refuses '.' and '..' between its slashes: an
 * HTTP client, a proxy, or a gateway in front of a file system resolves them, and so reaches an
 * object outside the prefix.
 * @throws ReembedError USAGE
 */
export function plainKey(key: string, url: string): string {
  if (!DOTS.test(key)) return key
  throw new ReembedError(
    'USAGE',
    `Key ${JSON.stringify(key)} in ${url} is not valid: the names between its slashes must not be '.' or '..'`,
  )
}

const DOTS = /(?:^|\/)\.\.?(?:\/|$)/

/** Concatenates a stream. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  const [only] = pieces
  return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces)
}
