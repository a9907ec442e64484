// Decodes texts of tables. Bytes that are not UTF-8 are marked, never replaced.

import { INVALID_UTF8 } from './record-values.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of bytes; INVALID_UTF8 if they are no text. */
export function textOfBytes(bytes: Uint8Array): string | object {
  try {
    return utf8.decode(bytes)
  } catch {
    return INVALID_UTF8
  }
}
