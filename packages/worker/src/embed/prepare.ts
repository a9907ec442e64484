// What a document's text becomes before it is sent: well-formed, with its prompt, not longer than a
// server looks at.

import { truncateToBytes } from '@reembed/endpoint'
import type { Document, Reject } from '@reembed/protocol'

export interface PreparedText {
  readonly document: Document
  readonly text: string
  /** UTF-8 bytes of `text`. */
  readonly bytes: number
  readonly truncated: boolean
  readonly repaired: boolean
}

export interface PrepareOptions {
  readonly prompt: string
  /** Longer texts are cut here, in UTF-8 bytes; no limit if null. */
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
  // A lone surrogate is not UTF-8: JSON would carry it as an escape that the server's parser
  // refuses.
  const wellFormed = document.text.toWellFormed()
  const whole = prompt + wellFormed
  const text = maxTextBytes === null ? whole : truncateToBytes(whole, maxTextBytes)
  return {
    document,
    text,
    bytes: Buffer.byteLength(text),
    truncated: text.length < whole.length,
    repaired: wellFormed !== document.text,
  }
}
