// Decides whether documents are cut into chunks, and puts the model's tokenizer into the output,
// where workers read it. Files of text are cut by default if the model would not read them whole:
// one vector for the first page of each file finds little. Records are cut only on request: most
// corpora of records are cut already, and their ids must not change.

import { readSlice, splitOptionsOf } from '@reembed/corpus'
import { type Endpoint, truncateToBytes } from '@reembed/endpoint'
import { isWholeFile } from '@reembed/formats'
import type { Chunking, SourceObject } from '@reembed/protocol'
import { messageOf, ReembedError, sha256, tokenizerKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { CHARS_PER_TOKEN } from './estimate/count-sample.ts'
import type { PlanNotice, PlanOptions } from './options.ts'
import type { Survey } from './survey.ts'
import type { FoundTokenizer, TokenizerSource } from './tokenizer.ts'

export interface ChunkingContext {
  readonly endpoint: Pick<Endpoint, 'info' | 'url' | 'countTokens'>
  readonly tokenizers: TokenizerSource
  readonly prompt: string
  /** Receives the tokenizer; nothing is written without it. */
  readonly output: Store | undefined
  readonly source: Store
  readonly onNotice: (notice: PlanNotice) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * The chunking of a run; undefined for whole documents.
 * @throws ReembedError USAGE for chunks that are longer than the model's limit or leave no room for
 * text, for an overlap without chunks, and if the tokenizer is not found
 */
export async function resolveChunking(
  { chunking: wanted, truncate = true }: Pick<PlanOptions, 'chunking' | 'truncate'>,
  survey: Survey,
  context: ChunkingContext,
): Promise<Chunking | undefined> {
  if (wanted === false) return undefined
  const { maxTokens, overlapTokens, context: hasContext = false } = wanted ?? {}
  const limit = context.endpoint.info.maxInputLength
  if (maxTokens !== undefined) {
    requireWithin(maxTokens, context.endpoint)
    return chunkingOf({ maxTokens, overlapTokens, hasContext }, await context.tokenizers.find(), context)
  }
  const isText = survey.sampledObjects.length === 0 && limit !== null && truncate
  if (!isText) {
    if (overlapTokens === undefined && !hasContext) return undefined
    throw new ReembedError(
      'USAGE',
      `${overlapTokens === undefined ? 'the context of chunks' : `an overlap of ${overlapTokens} tokens`} needs chunks: set their maximum length`,
      { option: 'chunking.maxTokens' },
    )
  }
  if (hasContext)
    return chunkingOf(
      { maxTokens: limit, overlapTokens, hasContext },
      await context.tokenizers.find(),
      context,
    )
  if (!(await someExceed(limit, survey.largestFiles, context))) return undefined
  const tokenizer = await context.tokenizers.find().catch((error: unknown) => {
    if (!(error instanceof ReembedError)) throw error
    context.onNotice({ kind: 'tokenizer_not_found', limit, reason: messageOf(error) })
    return undefined
  })
  if (tokenizer === undefined) return undefined
  context.onNotice({ kind: 'chunked_by_default', limit })
  return chunkingOf({ maxTokens: limit, overlapTokens }, tokenizer, context)
}

function requireWithin(
  maxTokens: number,
  { info: { maxInputLength }, url }: ChunkingContext['endpoint'],
): void {
  if (maxInputLength === null || maxTokens <= maxInputLength) return
  throw new ReembedError(
    'USAGE',
    `chunks of ${maxTokens} tokens are longer than the ${maxInputLength} tokens that ${url} takes: make them shorter`,
    { option: 'chunking.maxTokens' },
  )
}

async function chunkingOf(
  {
    maxTokens,
    overlapTokens = 0,
    hasContext = false,
  }: {
    readonly maxTokens: number
    readonly overlapTokens?: number | undefined
    readonly hasContext?: boolean
  },
  tokenizer: FoundTokenizer,
  { prompt, output }: ChunkingContext,
): Promise<Chunking> {
  const chunking: Chunking = {
    maxTokens,
    overlapTokens,
    tokenizer: sha256(tokenizer.bytes),
    ...(hasContext && { context: {} }),
  }
  // Refuses here what every worker would refuse.
  splitOptionsOf(chunking, tokenizer, prompt)
  await output?.putIfAbsent(tokenizerKey(chunking.tokenizer), tokenizer.bytes, {
    contentType: 'application/json',
  })
  return chunking
}

/** The decision needs a few tokens more than the limit, not a large text as a whole. */
const BYTES_PER_TOKEN = 32

/** Whether a file has more tokens than the limit; the largest ones represent all. */
async function someExceed(
  limit: number,
  files: readonly SourceObject[],
  { endpoint, tokenizers, prompt, source, signal }: ChunkingContext,
): Promise<boolean> {
  // No tokenizer makes more tokens than bytes.
  const frame = 8 + Buffer.byteLength(prompt)
  const long = files.filter(({ format, size }) => isWholeFile(format) && size + frame > limit)
  if (long.length === 0) return false
  const texts: string[] = []
  for (const object of long) {
    const part = { ...object, start: 0, end: object.size }
    const { records } = readSlice(source, { parts: [part] }, { fields: null, signal })
    for await (const record of records) {
      if (record.kind === 'document')
        texts.push(truncateToBytes((prompt + record.text).toWellFormed(), limit * BYTES_PER_TOKEN))
    }
  }
  const tokenizer = await tokenizers.local()
  const counts = tokenizer
    ? texts.map(text => tokenizer.countTokens(text) + tokenizer.specialTokens)
    : ((await endpoint.countTokens(texts, { signal })) ?? texts.map(({ length }) => length / CHARS_PER_TOKEN))
  return counts.some(tokens => tokens > limit)
}
