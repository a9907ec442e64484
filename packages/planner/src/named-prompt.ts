// Named prompts: the text that a model declares under a name in its
// config_sentence_transformers.json. It is read once, when the run is planned, and the plan keeps
// the text: workers need no file, and a later change of that file does not change the run. It is
// not sent as TEI's `prompt_name`, which /v1/embeddings does not accept.

import { dirname, join } from 'node:path'
import type { ModelIdentity } from '@reembed/protocol'
import { codeOf, LIMITS, ReembedError, readFileWithin } from '@reembed/shared'
import { createHubClient, escapeHubPath } from '@reembed/store'
import type { PlanOptions } from './options.ts'

const FILE = 'config_sentence_transformers.json'

type PromptOptions = Pick<PlanOptions, 'prompt' | 'promptName' | 'modelFolder' | 'tokenizer' | 'hub'>

/**
 * @throws ReembedError USAGE if both a prompt and a prompt name are given, or if the model has no
 * prompt of that name; the message lists the names that it has.
 */
export async function resolvePrompt(options: PromptOptions, model: ModelIdentity): Promise<string> {
  const { prompt = '', promptName: name } = options
  if (name === undefined) return prompt
  if (prompt !== '') {
    throw new ReembedError(
      'USAGE',
      `the prompt ${JSON.stringify(prompt)} and the prompt name ${JSON.stringify(name)} exclude each other: give one of them`,
      { option: 'promptName' },
    )
  }
  const { text, where } = (await fromFolder(options)) ?? (await fromHub(model, options.hub))
  const prompts = promptsIn(text, where)
  const found = Object.hasOwn(prompts, name) ? prompts[name] : undefined
  if (found !== undefined) return found
  const names = Object.keys(prompts).map(each => JSON.stringify(each))
  throw new ReembedError(
    'USAGE',
    `${where} has no prompt ${JSON.stringify(name)}: ${names.length > 0 ? `it has ${names.join(', ')}` : 'it has none; give the text of the prompt'}`,
    { option: 'prompt' },
  )
}

interface PromptFile {
  readonly text: string
  readonly where: string
}

async function fromFolder({ modelFolder, tokenizer }: PromptOptions): Promise<PromptFile | undefined> {
  const folders = [
    ...(modelFolder ? [modelFolder] : []),
    ...(tokenizer ? [tokenizer, dirname(tokenizer)] : []),
  ]
  for (const folder of folders) {
    const where = join(folder, FILE)
    try {
      return { text: String(await readFileWithin(where, LIMITS.promptsBytes)), where }
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) throw error
    }
  }
  return undefined
}

async function fromHub(
  { id, revision }: ModelIdentity,
  { url, token }: NonNullable<PlanOptions['hub']> = {},
): Promise<PromptFile> {
  const alternative = `give the text of the prompt, or a model folder with ${FILE}`
  const hub = createHubClient({
    endpoint: url,
    token,
    codes: { unreachable: 'ENDPOINT_UNREACHABLE', accessDenied: 'USAGE' },
    alternative,
  })
  const path = `/${escapeHubPath(id)}/resolve/${encodeURIComponent(revision ?? 'main')}/${FILE}`
  const text = await hub.text(path, { subject: `the prompts of model ${id}` })
  if (text !== undefined) return { text, where: hub.endpoint + path }
  throw new ReembedError(
    'USAGE',
    `The Hub at ${hub.endpoint} has no ${FILE} of model ${id} at revision ${revision ?? 'main'}: ${alternative}`,
    { option: 'prompt' },
  )
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
