// What a job embeds: the records of a slice as its plan wants them, mapped, and cut into chunks if it says so.

import type { Plan, Slice, SourceRecord } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { chunkDocuments, openTokenizer, splitOptionsOf } from '../chunk/chunk.ts'
import { readSlice, type SliceReader } from './read.ts'

export interface DocumentReader extends Pick<SliceReader, 'rangesRead'> {
  readonly records: AsyncIterable<SourceRecord>
}

/** `output` is asked for the tokenizer of a run with chunks, and for nothing else. */
export async function readDocuments(
  { source, output }: { readonly source: Store; readonly output: Store },
  { recipe, layout }: Pick<Plan, 'recipe' | 'layout'>,
  slice: Slice,
  signal?: AbortSignal,
): Promise<DocumentReader> {
  const { fields, template, chunking, prompt } = recipe
  const reader = readSlice(source, slice, { fields, template, carry: layout?.carry, signal })
  if (chunking === undefined) return reader
  const tokenizer = await openTokenizer(output, chunking.tokenizer)
  return {
    rangesRead: reader.rangesRead,
    records: chunkDocuments(reader.records, splitOptionsOf(chunking, tokenizer, prompt)),
  }
}
