// Strings in the language of filters of Milvus (internal/parser/planparserv2/Plan.g4).

import type { MilvusConnection } from './milvus-connection.ts'

/** What a string cannot hold as it is. Milvus Lite knows no other escapes, apart from `\'`. */
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}
const BEYOND_BMP = /[\u{10000}-\u{10ffff}]/gu

/**
 * The literals of these strings. Milvus replaces a Han character by `\u` with the low 16 bits of
 * its code point (planparserv2, `convertHanToASCII`), so that one beyond U+FFFF becomes another.
 * `\U` with 8 digits means the character; Milvus Lite, which replaces none, does not know it.
 */
export async function milvusTexts(
  ask: MilvusConnection['ask'],
  texts: readonly string[],
): Promise<readonly string[]> {
  const isAsked = texts.some(text => text.search(BEYOND_BMP) >= 0)
  const isLite = isAsked && /lite/.test((await ask(client => client.getVersion())).version)
  const escaped = (char: string): string =>
    isLite ? char : `\\U${char.codePointAt(0)?.toString(16).padStart(8, '0')}`
  return texts.map(
    text => `"${text.replace(/["\\\n\r\t]/g, char => ESCAPES[char] ?? '').replace(BEYOND_BMP, escaped)}"`,
  )
}
