// --chunk-tokens: finds the model's tokenizer and puts it into the output, where workers find it.

import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createTokenizer, type ModelTokenizer, splitOptionsOf } from '@reembed/corpus'
import type { Endpoint } from '@reembed/endpoint'
import type { Chunking } from '@reembed/protocol'
import { codeOf, messageOf, ReembedError, sha256, tokenizerKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { CorpusFlags } from './options.ts'

/** Undefined without --chunk-tokens. Checks that chunks fit the model and leave room for text. */
export async function chunkingOf(
  { chunkTokens, chunkOverlap, tokenizer, model, prompt }: CorpusFlags,
  endpoint: Pick<Endpoint, 'info' | 'url'>,
  output: Store | undefined,
): Promise<Chunking | undefined> {
  if (chunkTokens === undefined) {
    if (chunkOverlap === undefined) return undefined
    throw new ReembedError('USAGE', '--chunk-overlap goes with --chunk-tokens')
  }
  const { maxInputLength } = endpoint.info
  if (maxInputLength !== null && chunkTokens > maxInputLength) {
    throw new ReembedError(
      'USAGE',
      `--chunk-tokens ${chunkTokens} is more than the ${maxInputLength} tokens that ${endpoint.url} takes`,
    )
  }
  const found = await findTokenizer(tokenizer, model)
  if (found === undefined) {
    throw new ReembedError(
      'USAGE',
      "--chunk-tokens needs the model's tokenizer: name its tokenizer.json with --tokenizer",
    )
  }
  const { bytes } = found
  const chunking = {
    maxTokens: chunkTokens,
    overlapTokens: chunkOverlap ?? 0,
    tokenizer: sha256(bytes),
  }
  splitOptionsOf(chunking, found, prompt)
  await output?.putIfAbsent(tokenizerKey(chunking.tokenizer), bytes, { contentType: 'application/json' })
  return chunking
}

/** The tokenizer that is named, or that of a model folder; undefined if there is neither. */
export async function findTokenizer(
  named: string | undefined,
  model: string | undefined,
): Promise<(ModelTokenizer & { readonly bytes: Buffer }) | undefined> {
  const path = await tokenizerPath(named, model)
  if (path === undefined) return undefined
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ReembedError('USAGE', `the tokenizer '${path}' cannot be read: ${messageOf(cause)}`, { cause })
  })
  return { ...createTokenizer(bytes.toString('utf8'), `'${path}'`), bytes }
}

async function tokenizerPath(
  named: string | undefined,
  model: string | undefined,
): Promise<string | undefined> {
  const place = named ?? model
  if (place === undefined) return undefined
  const found = await stat(place).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  })
  return found?.isDirectory() ? join(place, 'tokenizer.json') : named
}
