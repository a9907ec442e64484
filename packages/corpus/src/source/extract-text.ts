// The text of documents that are not plain text. Its libraries are loaded when the first such
// document is read; that of PDF is optional.

import { isAscii, isUtf8 } from 'node:buffer'
import { messageOf, ReembedError } from '@reembed/shared'

/**
 * The text of an HTML page as a reader sees it: without markup, scripts, images and link targets.
 */
export async function textOfHtml(html: string): Promise<string> {
  const { convert } = await import('html-to-text')
  const plain = { options: { uppercase: false } }
  return convert(html, {
    wordwrap: false,
    selectors: [
      ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map(selector => ({ selector, ...plain })),
      { selector: 'a', options: { ignoreHref: true } },
      { selector: 'img', format: 'skip' },
      { selector: 'table', format: 'dataTable', options: { uppercaseHeaderCells: false } },
    ],
  })
}

/** Where a page must declare its encoding (HTML Standard, "Specifying the document's encoding"). */
const DECLARED_WITHIN_BYTES = 1024

/**
 * An HTML page decoded by the encoding that it declares; undefined if it is UTF-8. A page that was
 * converted may keep its old declaration. An encoding of seven bits such as ISO-2022-JP is valid
 * UTF-8 too, so validity proves UTF-8 only if a byte has eight bits.
 */
export function decodeHtml(bytes: Uint8Array): string | { readonly fault: string } | undefined {
  const head = Buffer.from(bytes.subarray(0, DECLARED_WITHIN_BYTES)).toString('latin1')
  const label = /<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w:.-]+)/i.exec(head)?.[1]
  if (label === undefined || head.startsWith(UTF8_MARK) || /^utf-?(8|16)/i.test(label)) return undefined
  if (isUtf8(bytes) && !isAscii(bytes)) return undefined
  try {
    return new TextDecoder(label, { fatal: true }).decode(bytes)
  } catch (error) {
    const what = error instanceof RangeError ? 'declares an unknown encoding' : 'is not valid in its encoding'
    return { fault: `the page ${what}` }
  }
}

/** The byte order mark of UTF-8 as Latin-1; it takes precedence over a declaration. */
const UTF8_MARK = '\u00ef\u00bb\u00bf'

/**
 * The text layer of a PDF, its pages separated by a blank line.
 * @throws ReembedError SOURCE_FORMAT if the optional package is missing; Error for a damaged file
 */
export async function textOfPdf(key: string, bytes: Uint8Array): Promise<string> {
  const { extractText, getDocumentProxy } = await import('unpdf').catch((cause: unknown) => {
    throw new ReembedError(
      'SOURCE_FORMAT',
      `${JSON.stringify(key)} is a PDF, which needs the optional package unpdf (${messageOf(cause)}): install it, or leave PDF files out`,
      { cause },
    )
  })
  // Its warnings would be written to the console.
  const pdf = await getDocumentProxy(new Uint8Array(bytes), { verbosity: 0 })
  const { text } = await extractText(pdf, { mergePages: false })
  return text.join('\n\n').trim()
}
