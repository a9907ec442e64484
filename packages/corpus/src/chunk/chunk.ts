// Cuts documents into chunks. A document that the model reads whole stays as it is, id and text
// included, so that it keeps its vector when a longer document joins its corpus.

import type { Chunking, SourceRecord } from '@reembed/protocol'
import { createMemo, LIMITS, ReembedError, tokenizerKey } from '@reembed/shared'
import { getAtMost, type Store } from '@reembed/store'
import { createContext } from './context.ts'
import { fits, type SplitOptions, splitText, type TextSpan } from './split.ts'
import { createTokenizer, type ModelTokenizer } from './tokenizer.ts'

/**
 * The limits for the text of a chunk: the limits of the plan, in tokens, less special tokens and
 * the prompt.
 * @throws ReembedError USAGE if no room is left, or if the overlap is more than half of it.
 */
export function splitOptionsOf(
  { maxTokens, overlapTokens, context }: Chunking,
  { countTokens, limited, specialTokens }: ModelTokenizer,
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
  return { maxTokens: room, overlapTokens, countTokens, limited, hasContext: context !== undefined }
}

/** A document with such an id has chunk ids always: `a#1` could be chunk 1 of document `a`. */
const CHUNK_ID = /#\d+$/

/**
 * Yields the chunks of each document in order, as documents `<id>#<n>`; a document that fits, under
 * its own id. Empty documents and rejects are passed on.
 */
export async function* chunkDocuments(
  records: AsyncIterable<SourceRecord>,
  options: SplitOptions,
): AsyncGenerator<SourceRecord, void, undefined> {
  for await (const { title, ...record } of records as AsyncIterable<SourceRecord & { title?: string }>) {
    if (record.kind === 'reject') {
      yield record
      continue
    }
    const { id, text } = record
    const cut = (): CutText => cutText(text, title, options)
    const { spans, isOne, contexts } = options.limited ? options.limited(text, cut) : cut()
    for (const [index, span] of spans.entries()) {
      const { charStart, charEnd, headings } = span
      yield {
        ...record,
        id: isOne && !CHUNK_ID.test(id) ? id : `${id}#${index}`,
        text: (contexts[index] ?? '') + text.slice(charStart, charEnd),
        chunk: { docId: id, index, charStart, charEnd, headings },
      }
    }
    if (spans.length === 0) yield record
  }
}

interface CutText {
  readonly spans: readonly TextSpan[]
  /** The text is one chunk. */
  readonly isOne: boolean
  /** The context of each chunk. */
  readonly contexts: readonly string[]
}

/** Counts the tokens of a text several times, and of each context. */
function cutText(text: string, title: string | undefined, options: SplitOptions): CutText {
  const context = options.hasContext ? createContext({ title, text }, options) : undefined
  const found = splitText(text, { ...options, maxTokens: options.maxTokens - (context?.tokens ?? 0) })
  const [first] = found
  const isOne = found.length === 1 && first !== undefined && isWhole(text, first, options)
  const spans = isOne ? [{ ...first, charStart: 0, charEnd: text.length }] : found
  const contexts = context
    ? spans.map(({ charStart, charEnd, headings }) =>
        context.before(text.slice(charStart, charEnd), headings),
      )
    : []
  return { spans, isOne, contexts }
}

/**
 * Whether a span leaves out nothing but white space around it, which the limit has room for: some
 * tokenizers count line breaks.
 */
const isWhole = (
  text: string,
  { charStart, charEnd }: TextSpan,
  { maxTokens, countTokens }: SplitOptions,
): boolean =>
  charEnd - charStart === text.length ||
  (charEnd - charStart === text.trim().length && fits(text, maxTokens, countTokens))

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
