// From flags to a planned run: ask the endpoint which model it is, look at the corpus, cut it.

import { type Corpus, planRun, type SurveyedRun } from '@reembed/producer'
import {
  getJson,
  type ModelIdentity,
  modelKey,
  putJson,
  ReembedError,
  readPlan,
  type ShardLayout,
  type Store,
} from '@reembed/shared'
import {
  checkReference,
  type Endpoint,
  type ModelReference,
  measureReference,
  modelOf,
  openEndpoint,
} from '@reembed/worker'
import { note } from './format.ts'
import type { CorpusFlags } from './options.ts'
import type { EndpointGiven } from './parts.ts'

/** `output` undefined means a dry run: nothing is written anywhere. */
export async function planFrom(
  corpus: Corpus,
  flags: CorpusFlags,
  { url, options }: EndpointGiven,
  output: Store | undefined,
): Promise<SurveyedRun> {
  await using endpoint = await openEndpoint(url, { ...options, truncate: flags.truncate })
  const model = modelOf(endpoint)
  await settlePrompt(endpoint, flags.prompt)
  if (output) await settleReference(output, endpoint, model)
  return planRun(corpus, {
    model,
    prompt: flags.prompt,
    truncate: flags.truncate,
    fields: { ...(flags.id && { id: flags.id }), ...(flags.text && { text: flags.text }) },
    template: flags.template,
    carry: flags.carry,
    dimensions: flags.dimensions,
    dtype: flags.dtype,
    layout: layoutOf(flags),
    documentsPerShard: flags.documentsPerShard,
    maxRejects: flags.maxRejects,
    known: async run => output && readPlan(output, run),
  })
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

/**
 * The first run with a model leaves its reference vectors in the output; every later one must agree with them.
 * So an endpoint that serves other weights under the same name is found before anything is embedded.
 */
async function settleReference(output: Store, endpoint: Endpoint, model: ModelIdentity): Promise<void> {
  if (model.revision === null) {
    note(
      `note: ${endpoint.url} does not state its model's revision; its reference vectors stand in for it (or give --revision)`,
    )
  }
  const key = modelKey(model.id, model.revision)
  const measured = await measureReference(endpoint)
  await putJson(output, key, measured)
  const stored = (await getJson(output, key)) as ModelReference | undefined
  if (stored === undefined) throw new ReembedError('CORRUPT', `${key} vanished from ${output.url}`)
  checkReference(measured, stored, endpoint.url)
}
