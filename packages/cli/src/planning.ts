// From flags to a planned run: ask the endpoint which model it is, look at the corpus, cut it.

import { type Corpus, planRun, type SurveyedRun } from '@reembed/producer'
import type { Store } from '@reembed/shared'
import { modelOf, openEndpoint, settleReference } from '@reembed/worker'
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
  if (output) {
    if (model.revision === null) {
      note(
        `note: ${endpoint.url} does not state its model's revision; its reference vectors stand in for it (or give --revision)`,
      )
    }
    await settleReference(output, endpoint, () => openEndpoint(url, { ...options, truncate: flags.truncate }))
  }
  return planRun(corpus, {
    model,
    prompt: flags.prompt,
    truncate: flags.truncate,
    fields: { ...(flags.id && { id: flags.id }), ...(flags.text && { text: flags.text }) },
    documentsPerShard: flags.documentsPerShard,
    maxRejects: flags.maxRejects,
  })
}
