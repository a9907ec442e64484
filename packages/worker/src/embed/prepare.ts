// Prepares a document's text for a request: well-formed, with the prompt, truncated to the bytes
// that a server reads.

import { truncateToBytes } from '@reembed/endpoint'
import type { Document, Reject } from '@reembed/protocol'

export interface PreparedText {
  readonly document: Document
  readonly text: string
  /** UTF-8 bytes of `text`. */
  readonly bytes: number
  /** Characters of the whole text with the prompt, before it was truncated. */
  readonly characters: number
  readonly repaired: boolean
}

export interface PrepareOptions {
  readonly prompt: string
  /** Longer texts are truncated, in UTF-8 bytes; no limit if null. */
  readonly maxTextBytes: number | null
}

export function prepare(document: Document, { prompt, maxTextBytes }: PrepareOptions): PreparedText | Reject {
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
  // UTF-8 cannot hold a lone surrogate, and JSON would escape it, which the server's parser
  // refuses.
  const wellFormed = document.text.toWellFormed()
  const whole = prompt + wellFormed
  const text = maxTextBytes === null ? whole : truncateToBytes(whole, maxTextBytes)
  return {
    document,
    text,
    bytes: Buffer.byteLength(text),
    characters: whole.length,
    repaired: wellFormed !== document.text,
  }
}
