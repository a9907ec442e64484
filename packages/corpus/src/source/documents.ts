// The documents of one job: the records of its slice, mapped, and cut into chunks if the plan says
// so.

import type { Plan, Slice, SourceRecord } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { chunkDocuments, openTokenizer, splitOptionsOf } from '../chunk/chunk.ts'
import { readSlice, type SliceReader } from './read.ts'

export interface DocumentReader extends Pick<SliceReader, 'rangesRead' | 'nulled'> {
  readonly records: AsyncIterable<SourceRecord>
}

/**
 * Opens the documents of a slice. The only read of `output` is the tokenizer of a run with chunks.
 * @throws ReembedError USAGE if the chunk size leaves no room for text.
 */
export async function readDocuments(
  { source, output }: { readonly source: Store; readonly output: Store },
  { recipe, layout }: Pick<Plan, 'recipe' | 'layout'>,
  slice: Slice,
  signal?: AbortSignal,
): Promise<DocumentReader> {
  const { fields, template, chunking, prompt } = recipe
  const reader = readSlice(source, slice, {
    fields,
    template,
    carry: layout?.carry,
    context: chunking?.context,
    signal,
  })
  if (chunking === undefined) return reader
  const tokenizer = await openTokenizer(output, chunking.tokenizer)
  return {
    rangesRead: reader.rangesRead,
    nulled: reader.nulled,
    records: chunkDocuments(reader.records, splitOptionsOf(chunking, tokenizer, prompt)),
  }
}
