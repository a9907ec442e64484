// Cuts documents into chunks. A document that the model reads whole stays as it is, id and text
// included, so that it keeps its vector when a longer document joins its corpus.

import type { Chunking, SourceRecord } from '@reembed/protocol'
import { createMemo, LIMITS, ReembedError, tokenizerKey } from '@reembed/shared'
import { getAtMost, type Store } from '@reembed/store'
import { type SplitOptions, splitText, type TextSpan } from './split.ts'
import { createTokenizer, type ModelTokenizer } from './tokenizer.ts'

/**
 * The limits for the text of a chunk: the limits of the plan, in tokens, less special tokens and
 * the prompt.
 * @throws ReembedError USAGE if no room is left, or if the overlap is more than half of it.
 */
export function splitOptionsOf(
  { maxTokens, overlapTokens }: Chunking,
  { countTokens, specialTokens }: ModelTokenizer,
  prompt: string,
): SplitOptions {
  const room = maxTokens - specialTokens - countTokens(prompt)
  if (room < 1) {
    throw new ReembedError(
      'USAGE',
      `chunks of ${maxTokens} tokens leave no room for text after ${specialTokens} special tokens and the prompt`,
    )
  }
  if (overlapTokens * 2 > room) {
    throw new ReembedError(
      'USAGE',
      `an overlap of ${overlapTokens} tokens is more than half of a chunk's ${room}`,
    )
  }
  return { maxTokens: room, overlapTokens, countTokens }
}

/**
 * Yields the chunks of each document in order, as documents `<id>#<n>`; a document that fits, under
 * its own id. Empty documents and rejects are passed on.
 */
export async function* chunkDocuments(
  records: AsyncIterable<SourceRecord>,
  options: SplitOptions,
): AsyncGenerator<SourceRecord, void, undefined> {
  for await (const record of records) {
    const spans = record.kind === 'document' ? splitText(record.text, options) : []
    if (record.kind === 'reject' || spans.length === 0) {
      yield record
      continue
    }
    const [first] = spans
    if (spans.length === 1 && first && isWhole(record.text, first)) {
      const { headings } = first
      yield {
        ...record,
        chunk: { docId: record.id, index: 0, charStart: 0, charEnd: record.text.length, headings },
      }
      continue
    }
    for (const [index, span] of spans.entries()) {
      const { charStart, charEnd } = span
      yield {
        ...record,
        id: `${record.id}#${index}`,
        text: record.text.slice(charStart, charEnd),
        chunk: { docId: record.id, index, ...span },
      }
    }
  }
}

/** Whether a span leaves out nothing but white space around it. */
const isWhole = (text: string, { charStart, charEnd }: TextSpan): boolean =>
  charEnd - charStart === text.trim().length

/** Cached by hash: a tokenizer takes tens of milliseconds and megabytes to set up. */
const tokenizers = createMemo<string, ModelTokenizer>()

/**
 * Reads the tokenizer of a plan from the output. @throws ReembedError USAGE if it is not a
 * tokenizer.json.
 */
export function openTokenizer(output: Store, sha256: string): Promise<ModelTokenizer> {
  return tokenizers.get(sha256, async () => {
    const key = tokenizerKey(sha256)
    const bytes = await getAtMost(output, key, LIMITS.tokenizerBytes)
    return createTokenizer(Buffer.from(bytes).toString('utf8'), `${key} in ${output.url}`)
  })
}
