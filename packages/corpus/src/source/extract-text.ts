// The text of documents that are not plain text. Its libraries are loaded when the first such
// document is read; that of PDF is optional.

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
