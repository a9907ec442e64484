// What a document's text becomes before it is sent: well-formed, with its prompt, not longer than a server looks at.

import type { Document, Reject } from '@reembed/shared'

export interface Prepared {
  readonly document: Document
  readonly text: string
  /** UTF-8 bytes of `text`. */
  readonly bytes: number
  readonly cut: boolean
  readonly repaired: boolean
}

export interface PrepareOptions {
  readonly prompt: string
  /** Longer texts are cut here, in UTF-8 bytes; no limit if null. */
  readonly maxTextBytes: number | null
}

/** TEI cuts a text at 250 bytes per token before it tokenises it; the rest would only be carried there. */
export const BYTES_PER_TOKEN = 250

export function prepare(document: Document, { prompt, maxTextBytes }: PrepareOptions): Prepared | Reject {
  const { id, position } = document
  if (document.text.trim() === '') {
    return {
      kind: 'reject',
      id,
      reason: 'empty_text',
      message: 'the text is empty or only whitespace',
      position,
    }
  }
  // A lone surrogate is not UTF-8: JSON would carry it as an escape that the server's parser refuses.
  const wellFormed = document.text.toWellFormed()
  const whole = prompt + wellFormed
  const text = maxTextBytes === null ? whole : cutToBytes(whole, maxTextBytes)
  return {
    document,
    text,
    bytes: Buffer.byteLength(text),
    cut: text.length < whole.length,
    repaired: wellFormed !== document.text,
  }
}

/** The longest beginning of a well-formed `text` that is at most `maxBytes` of UTF-8, without half a character. */
export function cutToBytes(text: string, maxBytes: number): string {
  // A UTF-16 unit is at most three bytes.
  if (text.length * 3 <= maxBytes) return text
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes))
  return read < text.length ? text.slice(0, read) : text
}
