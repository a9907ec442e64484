// --prompt-name: the text that a model declares under a name in its config_sentence_transformers.json. It is looked up
// once, when the run is planned, and the plan keeps the text: workers need no file, and a name that later means
// something else changes no run. It is not sent as TEI's `prompt_name`, which /v1/embeddings does not take.

import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ModelIdentity } from '@reembed/protocol'
import { codeOf, messageOf, ReembedError } from '@reembed/shared'

const FILE = 'config_sentence_transformers.json'
const TIMEOUT_MS = 20_000

export interface PromptFlags {
  readonly prompt: string
  readonly promptName?: string
  /** A folder here may be the model's own; so may be that of the tokenizer. */
  readonly model?: string | undefined
  readonly tokenizer?: string
}

/** @throws ReembedError USAGE for a name that the model does not have, with those it has. */
export async function promptOf(flags: PromptFlags, model: ModelIdentity): Promise<string> {
  const { prompt, promptName: name } = flags
  if (name === undefined) return prompt
  if (prompt !== '') throw new ReembedError('USAGE', 'give --prompt or --prompt-name, not both')
  const { text, where } = (await fromFolder(flags)) ?? (await fromHub(model))
  const prompts = promptsIn(text, where)
  const found = Object.hasOwn(prompts, name) ? prompts[name] : undefined
  if (found !== undefined) return found
  const names = Object.keys(prompts).map(each => JSON.stringify(each))
  throw new ReembedError(
    'USAGE',
    `${where} has no prompt ${JSON.stringify(name)}: ${names.length > 0 ? `it has ${names.join(', ')}` : 'it has none; give its text with --prompt'}`,
  )
}

interface Found {
  readonly text: string
  readonly where: string
}

async function fromFolder({ model, tokenizer }: PromptFlags): Promise<Found | undefined> {
  const folders = [...(model ? [model] : []), ...(tokenizer ? [tokenizer, dirname(tokenizer)] : [])]
  for (const folder of folders) {
    const where = join(folder, FILE)
    try {
      return { text: await readFile(where, 'utf8'), where }
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) throw error
    }
  }
  return undefined
}

async function fromHub({ id, revision }: ModelIdentity): Promise<Found> {
  const host = (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '')
  const where = `${host}/${id}/resolve/${encodeURIComponent(revision ?? 'main')}/${FILE}`
  const token = process.env.HF_TOKEN
  const unreachable = (why: string, cause?: unknown): ReembedError =>
    new ReembedError(
      'USAGE',
      `the prompts of ${id} can't be looked up: ${where} ${why}; give the text with --prompt, or name a folder with ${FILE} by --model`,
      { cause },
    )
  let response: Response
  try {
    response = await fetch(where, {
      headers: token ? { authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch (cause) {
    throw unreachable(`does not answer (${messageOf(cause)})`, cause)
  }
  if (!response.ok) throw unreachable(`answers ${response.status}`)
  return { text: await response.text(), where }
}

function promptsIn(text: string, where: string): Record<string, string> {
  try {
    const { prompts = {} } = JSON.parse(text)
    const entries = Object.entries<unknown>(prompts)
    return Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    )
  } catch (cause) {
    throw new ReembedError('USAGE', `${where} is not JSON`, { cause })
  }
}
