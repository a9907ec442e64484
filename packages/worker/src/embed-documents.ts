// Embeds documents in memory, without queue, run or shard.

import type { Endpoint } from '@reembed/endpoint'
import { createLimiter } from '@reembed/limiter'
import type { Document, Recipe } from '@reembed/protocol'
import { truncateVectors } from '@reembed/shard'
import { embed } from './embed.ts'

/** Share of the endpoint's permits: workers may be using it too. */
const PERMIT_SHARE = 0.5

export interface EmbeddedDocuments {
  /** `vectors` holds one row of `dimensions` numbers for each id. */
  readonly rows: {
    readonly ids: string[]
    readonly vectors: Float32Array
    readonly dimensions: number
  }
  /** Documents that the model refused. */
  readonly refused: number
  /** Null where the server does not count them. */
  readonly tokens: number | null
}

/** Embeds all documents as a worker does, with the prompt and the dimensions of the recipe. */
export async function embedDocuments(
  endpoint: Endpoint,
  documents: readonly Document[],
  { prompt, model, ...recipe }: Recipe,
): Promise<EmbeddedDocuments> {
  const { dimensions: native, maxConcurrentRequests } = endpoint.info
  const { dimensions } = model
  await using limiter = createLimiter({ max: Math.max(1, PERMIT_SHARE * maxConcurrentRequests) })
  const ids: string[] = []
  const vectors = new Float32Array(documents.length * dimensions)
  let refused = 0
  let tokens: number | null = 0
  for await (const window of embed(documents, { endpoint, limiter, prompt })) {
    const kept = truncateVectors(window.vectors.slice(0, window.documents.length * native), {
      ...recipe,
      model,
    })
    vectors.set(kept, ids.length * dimensions)
    ids.push(...window.documents.map(({ id }) => id))
    refused += window.rejects.length
    tokens = tokens === null || window.tokens === null ? null : tokens + window.tokens
    window.release()
  }
  return { rows: { ids, vectors: vectors.slice(0, ids.length * dimensions), dimensions }, refused, tokens }
}
