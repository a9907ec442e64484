// Search in a finished run: the query is embedded with the run's own model and compared with every
// vector.

import {
  assertSameModel,
  type Endpoint,
  type EndpointResolver,
  openEndpoint,
  type ResolvedEndpoint,
  resolveGiven,
} from '@reembed/endpoint'
import { type Manifest, requirePlan } from '@reembed/protocol'
import { requireManifest, truncateVectors } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { S3Options, Store } from '@reembed/store'
import { type NearestOptions, nearest, textsOf } from './nearest.ts'

export interface SearchRequest extends NearestOptions {
  readonly run: string
  readonly query: string
  /** Documents to return at most. */
  readonly top: number
  /** Text in front of the query; default: the one that the run was planned with. */
  readonly queryPrompt?: string | undefined
  /** Whether texts are read from the corpus; shards hold none by default. */
  readonly readTexts?: boolean | undefined
  readonly s3?: S3Options | undefined
  /** Called when the texts cannot be read from the corpus any more. */
  readonly onTextsUnreadable?: ((error: unknown) => void) | undefined
}

export interface SearchHit {
  readonly id: string
  /** Cosine, from -1 to 1. */
  readonly score: number
  /** Null without `readTexts`, or where it cannot be read. */
  readonly text: string | null
}

/**
 * If the endpoint states no revision, only the names of the models are compared.
 * @throws ReembedError MODEL_MISMATCH unless the endpoint serves the model of the run
 */
export function requireModelOf(
  { model, nativeDimensions = model.dimensions }: Manifest,
  { url, info }: Pick<Endpoint, 'url' | 'info'>,
): void {
  const revision = info.revision ?? model.revision
  assertSameModel({ ...model, dimensions: nativeDimensions }, { url, info: { ...info, revision } })
}

/**
 * The documents nearest to a query, nearest first.
 * @param given resolved once the query and the run are known to be valid
 * @throws ReembedError USAGE for an empty query, RUN_NOT_FOUND for a run that is not finished,
 * MODEL_MISMATCH when the endpoint serves another model.
 * @throws the signal's reason
 */
export async function searchRun(
  store: Store,
  given: ResolvedEndpoint | EndpointResolver,
  request: SearchRequest,
): Promise<SearchHit[]> {
  const { run, query, top, queryPrompt, readTexts = false, s3 = {}, signal, onTextsUnreadable } = request
  if (query.trim() === '') throw new ReembedError('USAGE', 'the text to search for is empty')
  const manifest = await requireManifest(store, run)
  const { url, options } = await resolveGiven(given)
  await using endpoint = await openEndpoint(url, options)
  requireModelOf(manifest, endpoint)
  const prompt = queryPrompt || manifest.queryPrompt || ''
  const vector = truncateVectors(
    await endpoint.embed([`${prompt}${query.toWellFormed()}`], { signal }),
    manifest,
  )
  const hits = await nearest(store, manifest, vector, top, request)
  const texts = readTexts
    ? await requirePlan(store, run)
        .then(plan => textsOf(hits, store, plan, s3, signal))
        .catch((error: unknown) => {
          signal?.throwIfAborted()
          onTextsUnreadable?.(error)
          return new Map<string, string>()
        })
    : new Map<string, string>()
  return hits.map(({ id, score }) => ({ id, score, text: texts.get(id) ?? null }))
}
