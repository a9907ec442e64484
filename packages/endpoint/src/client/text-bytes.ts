// How many bytes of a text a server reads.

/** TEI cuts a text at 250 bytes per token before it tokenises it; the rest would only be carried there. */
export const MAX_BYTES_PER_TOKEN = 250

/** The longest beginning of a well-formed `text` that is at most `maxBytes` of UTF-8, without half a character. */
export function truncateToBytes(text: string, maxBytes: number): string {
  // A UTF-16 unit is at most three bytes.
  if (text.length * 3 <= maxBytes) return text
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes))
  return read < text.length ? text.slice(0, read) : text
}
