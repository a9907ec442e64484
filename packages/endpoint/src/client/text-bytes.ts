/**
 * TEI truncates a text to 250 bytes per token before it tokenises it; the server ignores the rest.
 */
export const MAX_BYTES_PER_TOKEN = 250

/**
 * The longest prefix of a well-formed `text` with at most `maxBytes` of UTF-8, cut between
 * characters.
 */
export function truncateToBytes(text: string, maxBytes: number): string {
  // A UTF-16 unit is at most three bytes.
  if (text.length * 3 <= maxBytes) return text
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes))
  return read < text.length ? text.slice(0, read) : text
}
