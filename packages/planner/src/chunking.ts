// Chunking set-up: finds the model's tokenizer and puts it into the output, where workers read it.

import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createTokenizer, type ModelTokenizer, splitOptionsOf } from '@reembed/corpus'
import type { Endpoint } from '@reembed/endpoint'
import type { Chunking } from '@reembed/protocol'
import { codeOf, messageOf, ReembedError, sha256, tokenizerKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { PlanOptions } from './options.ts'

/**
 * Undefined without a maximum length of chunks. Without `output` nothing is written.
 * @throws ReembedError USAGE for chunks that are longer than the model's limit or leave no room for
 * text.
 */
export async function resolveChunking(
  { chunking: wanted, tokenizer, modelFolder, prompt = '' }: PlanOptions,
  endpoint: Pick<Endpoint, 'info' | 'url'>,
  output: Store | undefined,
): Promise<Chunking | undefined> {
  const { maxTokens, overlapTokens } = wanted ?? {}
  if (maxTokens === undefined) {
    if (overlapTokens === undefined) return undefined
    throw new ReembedError(
      'USAGE',
      `an overlap of ${overlapTokens} tokens needs chunks: set their maximum length`,
      { option: 'chunking.maxTokens' },
    )
  }
  const { maxInputLength } = endpoint.info
  if (maxInputLength !== null && maxTokens > maxInputLength) {
    throw new ReembedError(
      'USAGE',
      `chunks of ${maxTokens} tokens are longer than the ${maxInputLength} tokens that ${endpoint.url} takes: make them shorter`,
      { option: 'chunking.maxTokens' },
    )
  }
  const found = await findTokenizer(tokenizer, modelFolder)
  if (found === undefined) {
    throw new ReembedError(
      'USAGE',
      `chunks of ${maxTokens} tokens need the model's tokenizer: give the path of its tokenizer.json`,
      { option: 'tokenizer' },
    )
  }
  const { bytes } = found
  const chunking = {
    maxTokens,
    overlapTokens: overlapTokens ?? 0,
    tokenizer: sha256(bytes),
  }
  splitOptionsOf(chunking, found, prompt)
  await output?.putIfAbsent(tokenizerKey(chunking.tokenizer), bytes, { contentType: 'application/json' })
  return chunking
}

/**
 * The tokenizer at the named file or folder, else that of the model folder; undefined without
 * either.
 */
export async function findTokenizer(
  named: string | undefined,
  modelFolder: string | undefined,
): Promise<(ModelTokenizer & { readonly bytes: Buffer }) | undefined> {
  const path = await tokenizerPath(named, modelFolder)
  if (path === undefined) return undefined
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ReembedError('USAGE', `the tokenizer '${path}' cannot be read: ${messageOf(cause)}`, { cause })
  })
  return { ...createTokenizer(bytes.toString('utf8'), `'${path}'`), bytes }
}

async function tokenizerPath(
  named: string | undefined,
  modelFolder: string | undefined,
): Promise<string | undefined> {
  const place = named ?? modelFolder
  if (place === undefined) return undefined
  const found = await stat(place).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  })
  return found?.isDirectory() ? join(place, 'tokenizer.json') : named
}
