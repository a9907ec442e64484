// Facts that a check found, as text.

import type { sampleCorpus, survey } from '@reembed/planner'
import { bytes, counted } from './numbers.ts'

/** The memory of Redis; a limit of 0 is none. */
export const memoryText = (facts: { readonly usedBytes: number; readonly maxBytes: number }): string =>
  facts.maxBytes === 0
    ? `${bytes(facts.usedBytes)} used, no limit`
    : `${bytes(facts.usedBytes)} of ${bytes(facts.maxBytes)} used`

/**
 * The prompt that a server adds to each text: `/info` does not state it, so it is found by counting
 * tokens. Null: unknown.
 */
function appliedPromptText(applied: string | null): string {
  if (applied === null) return 'unknown whether the server adds a prompt'
  return applied === ''
    ? 'the server adds no prompt'
    : `the server adds ${JSON.stringify(applied)} before every text`
}

interface EndpointFacts {
  readonly url: string
  readonly route: string
  readonly info: {
    readonly modelId: string
    readonly revision?: string | null | undefined
    readonly dimensions: number | null
    readonly pooling?: string | null | undefined
    readonly maxInputLength?: number | null | undefined
    readonly maxClientBatchSize: number
    readonly maxConcurrentRequests: number
    readonly version?: string | null | undefined
  }
}

/** What a run would read: the objects, the fields and a sample of the records. */
export function sourceText(
  url: string,
  {
    objects,
    bytes: size,
    skipped,
  }: Pick<Awaited<ReturnType<typeof survey>>, 'objects' | 'bytes' | 'skipped'>,
  { fields, documents }: Pick<Awaited<ReturnType<typeof sampleCorpus>>, 'fields' | 'documents'>,
  template: string | undefined,
): string {
  const { count, examples } = skipped
  const more = count > examples.length ? ', …' : ''
  return [
    `${url}  ${counted(objects, 'object')}, ${bytes(size)}, about ${counted(documents, 'document')}`,
    fields
      ? `id: ${fields.id}, text: ${template === undefined ? fields.text : JSON.stringify(template)}`
      : 'one document per file',
    ...(count > 0 ? [`${counted(count, 'object')} skipped (${examples.join(', ')}${more})`] : []),
  ].join('; ')
}

/** What an endpoint serves, and what it takes. */
export function endpointText(
  { url, route, info }: EndpointFacts,
  found: {
    readonly applied: string | null
    /** The tokens that one request takes, if they were measured. */
    readonly requestTokens: string
    readonly warning: string | undefined
  },
): string {
  return [
    `${url}  ${info.modelId}@${info.revision ?? 'unstated'}`,
    `${info.dimensions} dimensions, ${info.pooling ?? 'unknown'} pooling`,
    `${info.version ?? 'version unknown'}, ${route}`,
    appliedPromptText(found.applied),
    ...(found.warning === undefined ? [] : [`warning: ${found.warning}`]),
    `at most ${info.maxInputLength ?? '?'} tokens per text, ${info.maxClientBatchSize} texts per request${found.requestTokens}, ${info.maxConcurrentRequests} concurrent requests`,
  ].join('; ')
}
