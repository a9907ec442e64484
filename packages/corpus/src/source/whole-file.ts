// Text, Markdown, HTML and PDF: one file is one document. Its id is its key relative to the source.

import { isUtf8 } from 'node:buffer'
import { BOM_BYTES, createReject, hasBom, MAX_RECORD_BYTES, requireUtf8, toId } from '@reembed/formats'
import type { Document, PartRead, SlicePart, SourceRecord } from '@reembed/protocol'
import { messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { blocksOf } from '../chunk/blocks.ts'
import { decodeHtml, textOfHtml, textOfPdf } from './extract-text.ts'

export interface ReadWholeFileOptions {
  /** Index of the part in its slice. */
  readonly index: number
  /** Whether the document needs a title. */
  readonly titled: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Yields the one record of a file and returns the range read. A file over the limit is rejected
 * without a read.
 */
export async function* readWholeFile(
  store: Store,
  part: SlicePart,
  { index, titled, signal }: ReadWholeFileOptions,
): AsyncGenerator<SourceRecord[], PartRead, undefined> {
  const { key, etag, size } = part
  const record = await recordOfFile(store, part, index, signal)
  yield [titled && record.kind === 'document' ? { ...record, title: titleOf(record) } : record]
  return { key, etag, start: 0, end: size, lines: 1 }
}

/** The first heading of a file, else its name without the extension. */
const titleOf = ({ id, text }: Document): string =>
  blocksOf(text)
    .find(({ kind }) => kind === 'heading')
    ?.headings.at(-1) || (id.split('/').at(-1) ?? '').replace(/\.[^.]+$/, '')

async function recordOfFile(
  store: Store,
  { key, etag, size, format }: SlicePart,
  index: number,
  signal: AbortSignal | undefined,
): Promise<SourceRecord> {
  const position = { part: index, offset: 0 }
  const id = toId(key, 'key')
  if (typeof id !== 'string') return createReject(id.reason, id.message, position)
  if (size > MAX_RECORD_BYTES) {
    return createReject(
      'too_large',
      `the file has ${size} bytes, the limit is ${MAX_RECORD_BYTES}`,
      position,
      id,
    )
  }
  const bytes = await store.get(key, { ifMatch: etag, signal })
  if (format === 'pdf') {
    try {
      return { kind: 'document', id, text: await textOfPdf(key, bytes), position }
    } catch (error) {
      if (error instanceof ReembedError) throw error
      return createReject('invalid_record', `the PDF cannot be read: ${messageOf(error)}`, position, id)
    }
  }
  if (format === 'html') {
    const html = decodeHtml(bytes)
    if (typeof html === 'object') return createReject('invalid_utf8', html.fault, position, id)
    if (html !== undefined) return { kind: 'document', id, text: await textOfHtml(html), position }
  }
  requireUtf8(key, bytes)
  if (!isUtf8(bytes)) return createReject('invalid_utf8', 'the file is not valid UTF-8', position, id)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8', hasBom(bytes) ? BOM_BYTES : 0)
  return { kind: 'document', id, text: format === 'html' ? await textOfHtml(text) : text, position }
}
