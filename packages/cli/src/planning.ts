// From flags to a planned run: ask the endpoint which model it is, look at the corpus, cut it.

import { type Corpus, planRun, type SurveyedRun } from '@reembed/producer'
import { ReembedError, readPlan, type ShardLayout, type Store } from '@reembed/shared'
import { type Endpoint, modelOf, openAwake, openEndpoint, settleReference } from '@reembed/worker'
import { chunkingOf } from './chunking.ts'
import { note } from './format.ts'
import type { CorpusFlags, RedisFlags } from './options.ts'
import type { EndpointGiven } from './parts.ts'

/** `output` undefined means a dry run: nothing is written anywhere. */
export async function planFrom(
  corpus: Corpus,
  flags: CorpusFlags & RedisFlags,
  { url, options }: EndpointGiven,
  output: Store | undefined,
): Promise<SurveyedRun & { readonly maxInputLength: number | null }> {
  const onState = (state: string): void => note(`endpoint  ${state}`)
  await using endpoint = await openAwake(
    url,
    { ...options, truncate: flags.truncate },
    { redis: flags.redis, onState },
  )
  const model = modelOf(endpoint)
  await settlePrompt(endpoint, flags.prompt)
  if (output) {
    if (model.revision === null) {
      note(
        `note: ${endpoint.url} does not state its model's revision; its reference vectors stand in for it (or give --revision)`,
      )
    }
    await settleReference(output, endpoint, () => openEndpoint(url, { ...options, truncate: flags.truncate }))
  }
  const planned = await planRun(corpus, {
    model,
    prompt: flags.prompt,
    truncate: flags.truncate,
    fields: { ...(flags.id && { id: flags.id }), ...(flags.text && { text: flags.text }) },
    template: flags.template,
    carry: flags.carry,
    chunking: await chunkingOf(flags, endpoint, output),
    dimensions: flags.dimensions,
    dtype: flags.dtype,
    layout: layoutOf(flags),
    documentsPerShard: flags.documentsPerShard,
    maxRejects: flags.maxRejects,
    known: async run => output && readPlan(output, run),
  })
  return { ...planned, maxInputLength: endpoint.info.maxInputLength }
}

/** A server's own prompt comes in front of ours, and no request can ask it not to: the model would see both. */
async function settlePrompt(endpoint: Endpoint, prompt: string): Promise<void> {
  const applied = await endpoint.appliedPrompt()
  if (!applied) return
  if (prompt !== '') {
    throw new ReembedError(
      'USAGE',
      `--prompt ${JSON.stringify(prompt)} would come after the prompt ${JSON.stringify(applied)} that ${endpoint.url} ` +
        'puts in front of every text by itself: leave --prompt out, or start the server without its default prompt',
    )
  }
  note(`note: ${endpoint.url} puts ${JSON.stringify(applied)} in front of every text by itself`)
}

/** Undefined where shards have nothing but what they always have: so the run's id stays what it was. */
function layoutOf({ includeText, arrowSchema }: CorpusFlags): ShardLayout | undefined {
  return includeText || arrowSchema
    ? { ...(includeText && { text: true }), ...(arrowSchema && { arrowSchema }) }
    : undefined
}
