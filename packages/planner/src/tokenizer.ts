// Finds the tokenizer of the model: a named file, the folder of the model, the model that runs on
// this machine, else the model's repository on the Hub, else what the endpoint's `/tokenize` shows
// of it.

import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createTokenizer, type ModelTokenizer, type TokenCosts } from '@reembed/corpus'
import type { ResolvedEndpoint } from '@reembed/endpoint'
import type { ModelIdentity } from '@reembed/protocol'
import {
  canonical,
  codeOf,
  createMemo,
  LIMITS,
  measuredTokenizerKey,
  messageOf,
  ReembedError,
} from '@reembed/shared'
import { createHubClient, escapeHubPath, getAtMost, type Store } from '@reembed/store'
import type { PlanOptions } from './options.ts'

export interface FoundTokenizer extends ModelTokenizer {
  /** Its tokenizer.json, or measured costs, which is written to the output for the workers. */
  readonly bytes: Buffer
  /** Costs that an earlier run of the model measured. */
  readonly isKept?: boolean | undefined
}

const FILE = 'tokenizer.json'

export type TokenizerOptions = Pick<PlanOptions, 'tokenizer' | 'modelFolder' | 'hub'>

export interface TokenizerSource {
  /** The tokenizer on this machine; undefined if there is none. */
  local(): Promise<FoundTokenizer | undefined>
  /**
   * Also asks the Hub for the tokenizer of the model, and measures the endpoint's.
   * @throws ReembedError USAGE with the reason if there is none
   */
  find(): Promise<FoundTokenizer>
}

/** How the tokens of a model are measured whose tokenizer is not found. */
export interface TokenMeasurement {
  /**
   * Outputs whose runs of the model were cut by measured costs: later runs use the same costs,
   * because other chunks would be embedded again.
   */
  readonly outputs: readonly (Store | undefined)[]
  /** Receives the costs; nothing is written without it. */
  readonly output: Store | undefined
  /**
   * Undefined where the endpoint cannot count.
   * @param reason why the tokenizer was not found
   */
  measure(reason: string): Promise<TokenCosts | undefined>
}

/** Each place is read once. */
export function openTokenizerSource(
  options: TokenizerOptions,
  resolved: Pick<ResolvedEndpoint, 'tokenizer'>,
  model: ModelIdentity,
  measurement?: TokenMeasurement,
): TokenizerSource {
  const onMachine = createMemo<'local', FoundTokenizer | undefined>()
  const ofAll = createMemo<'any', FoundTokenizer>()
  const local = (): Promise<FoundTokenizer | undefined> =>
    onMachine.get('local', () => localTokenizer(options, resolved))

  async function findAny(): Promise<FoundTokenizer> {
    const ofMachine = await local()
    if (ofMachine) return ofMachine
    const kept = measurement && (await storedCosts(measurement.outputs, model))
    if (kept) return { ...kept, isKept: true }
    let reason = `the Hub has no ${FILE} of model ${model.id}`
    let failure: ReembedError | undefined
    const ofHub = await hubTokenizer(model, options.hub).catch((error: unknown) => {
      if (!(error instanceof ReembedError)) throw error
      ;[failure, reason] = [error, error.message]
      return undefined
    })
    const tokenizer = ofHub ?? (measurement && (await measuredTokenizer(measurement, model, reason)))
    if (tokenizer) return tokenizer
    throw (
      failure ??
      new ReembedError(
        'USAGE',
        `${reason}, and the endpoint does not count tokens: give the path of the file`,
        { option: 'tokenizer' },
      )
    )
  }

  return { local, find: () => ofAll.get('any', findAny) }
}

async function storedCosts(
  outputs: readonly (Store | undefined)[],
  { id, revision }: ModelIdentity,
): Promise<FoundTokenizer | undefined> {
  const key = measuredTokenizerKey(id, revision)
  for (const output of outputs) {
    const bytes = await output
      ?.head(key)
      .then(found => found && getAtMost(output, key, LIMITS.tokenizerBytes))
    if (output && bytes) return tokenizerOf(Buffer.from(bytes), `${key} in ${output.url}`)
  }
  return undefined
}

async function measuredTokenizer(
  { output, measure }: TokenMeasurement,
  model: ModelIdentity,
  reason: string,
): Promise<FoundTokenizer | undefined> {
  const costs = await measure(reason)
  if (costs === undefined) return undefined
  const bytes = Buffer.from(canonical(costs))
  await output?.putIfAbsent(measuredTokenizerKey(model.id, model.revision), bytes, {
    contentType: 'application/json',
  })
  // Another planner may have measured at the same time.
  return (await storedCosts([output], model)) ?? tokenizerOf(bytes, 'the measured costs')
}

const tokenizerOf = (bytes: Buffer, sourceName: string): FoundTokenizer => ({
  ...createTokenizer(bytes.toString('utf8'), sourceName),
  bytes,
})

/**
 * Checks that a tokenizer that is named exists, without reading it.
 * @throws ReembedError USAGE
 */
export async function checkTokenizerFile({ tokenizer, modelFolder }: TokenizerOptions): Promise<void> {
  const path = await pathOf(tokenizer, modelFolder)
  if (path !== undefined) await requireReadable(path).catch(unreadable(path))
}

const unreadable =
  (path: string) =>
  (cause: unknown): never => {
    throw new ReembedError('USAGE', `the tokenizer '${path}' cannot be read: ${messageOf(cause)}`, {
      option: 'tokenizer',
      cause,
    })
  }

async function localTokenizer(
  { tokenizer, modelFolder }: TokenizerOptions,
  resolved: Pick<ResolvedEndpoint, 'tokenizer'>,
): Promise<FoundTokenizer | undefined> {
  const path = (await pathOf(tokenizer, modelFolder)) ?? resolved.tokenizer
  if (path === undefined) return undefined
  const bytes = await readTokenizer(path).catch(unreadable(path))
  return tokenizerOf(bytes, `'${path}'`)
}

/** A device or a pipe may never end, so only a regular file of a bounded size is read. */
async function readTokenizer(path: string): Promise<Buffer> {
  await requireReadable(path)
  return readFile(path)
}

async function requireReadable(path: string): Promise<void> {
  const stats = await stat(path)
  if (!stats.isFile()) throw new Error('it is not a regular file')
  if (stats.size > LIMITS.tokenizerBytes)
    throw new Error(`it has ${stats.size} bytes, at most ${LIMITS.tokenizerBytes} are read`)
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
  return text === undefined ? undefined : tokenizerOf(Buffer.from(text), hub.endpoint + path)
}
