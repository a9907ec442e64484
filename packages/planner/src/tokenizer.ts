// Finds the tokenizer of the model: a named file, the folder of the model, the model that runs on
// this machine, else the model's repository on the Hub.

import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createTokenizer, type ModelTokenizer } from '@reembed/corpus'
import type { ResolvedEndpoint } from '@reembed/endpoint'
import type { ModelIdentity } from '@reembed/protocol'
import { codeOf, createMemo, LIMITS, messageOf, ReembedError } from '@reembed/shared'
import { createHubClient, escapeHubPath } from '@reembed/store'
import type { PlanOptions } from './options.ts'

export interface FoundTokenizer extends ModelTokenizer {
  /** Its tokenizer.json, which is written to the output for the workers. */
  readonly bytes: Buffer
}

const FILE = 'tokenizer.json'

export type TokenizerOptions = Pick<PlanOptions, 'tokenizer' | 'modelFolder' | 'hub'>

export interface TokenizerSource {
  /** The tokenizer on this machine; undefined if there is none. */
  local(): Promise<FoundTokenizer | undefined>
  /**
   * Also asks the Hub for the tokenizer of the model. @throws ReembedError USAGE with the reason if
   * there is none
   */
  find(): Promise<FoundTokenizer>
}

/** Each place is read once. */
export function openTokenizerSource(
  options: TokenizerOptions,
  resolved: Pick<ResolvedEndpoint, 'tokenizer'>,
  model: ModelIdentity,
): TokenizerSource {
  const found = createMemo<'local' | 'hub', FoundTokenizer | undefined>()
  const local = (): Promise<FoundTokenizer | undefined> =>
    found.get('local', () => localTokenizer(options, resolved))
  return {
    local,
    async find() {
      const tokenizer = (await local()) ?? (await found.get('hub', () => hubTokenizer(model, options.hub)))
      if (tokenizer) return tokenizer
      throw new ReembedError(
        'USAGE',
        `the Hub has no ${FILE} of model ${model.id}: give the path of the file`,
        { option: 'tokenizer' },
      )
    },
  }
}

async function localTokenizer(
  { tokenizer, modelFolder }: TokenizerOptions,
  resolved: Pick<ResolvedEndpoint, 'tokenizer'>,
): Promise<FoundTokenizer | undefined> {
  const path = (await pathOf(tokenizer, modelFolder)) ?? resolved.tokenizer
  if (path === undefined) return undefined
  const bytes = await readTokenizer(path).catch((cause: unknown) => {
    throw new ReembedError('USAGE', `the tokenizer '${path}' cannot be read: ${messageOf(cause)}`, {
      option: 'tokenizer',
      cause,
    })
  })
  return { ...createTokenizer(bytes.toString('utf8'), `'${path}'`), bytes }
}

/** A device or a pipe may never end, so only a regular file of a bounded size is read. */
async function readTokenizer(path: string): Promise<Buffer> {
  const stats = await stat(path)
  if (!stats.isFile()) throw new Error('it is not a regular file')
  if (stats.size > LIMITS.tokenizerBytes)
    throw new Error(`it has ${stats.size} bytes, at most ${LIMITS.tokenizerBytes} are read`)
  return readFile(path)
}

async function pathOf(
  named: string | undefined,
  modelFolder: string | undefined,
): Promise<string | undefined> {
  const place = named ?? modelFolder
  if (place === undefined) return undefined
  const stats = await stat(place).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  })
  return stats?.isDirectory() ? join(place, FILE) : named
}

async function hubTokenizer(
  { id, revision }: ModelIdentity,
  { url, token }: NonNullable<PlanOptions['hub']> = {},
): Promise<FoundTokenizer | undefined> {
  // The name of a model that a server loaded from its disk is a path.
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(id)) return undefined
  const hub = createHubClient({
    endpoint: url,
    token,
    codes: { unreachable: 'ENDPOINT_UNREACHABLE', accessDenied: 'USAGE' },
    alternative: `give the path of its ${FILE}`,
  })
  const path = `/${escapeHubPath(id)}/resolve/${encodeURIComponent(revision ?? 'main')}/${FILE}`
  const text = await hub.text(path, { subject: `the tokenizer of model ${id}` }).catch((error: unknown) => {
    if (!(error instanceof ReembedError)) throw error
    throw new ReembedError(error.code, error.message, { option: 'tokenizer', cause: error })
  })
  return text === undefined
    ? undefined
    : { ...createTokenizer(text, hub.endpoint + path), bytes: Buffer.from(text) }
}
