// Where the limit begins, before a reply has shown how much the endpoint takes.

import type { EndpointInfo } from '../client/info.ts'

/** What documents have at most, more or less: models that take more rarely see it. */
const USUAL_TOKENS = 512
/** TEI's default. */
const USUAL_BATCH_TOKENS = 16_384

/**
 * Inputs that one server surely has use for, however long they are: a batch that it computes and
 * one that waits; 64 where it states nothing. The first windows find the rest: this only must
 * neither flood a small server nor leave a large one idle.
 */
export function initialLimit(info: EndpointInfo | undefined): number {
  const tokens = Math.min(info?.maxInputLength ?? USUAL_TOKENS, USUAL_TOKENS)
  const batch = Math.max(1, Math.floor((info?.maxBatchTokens ?? USUAL_BATCH_TOKENS) / tokens))
  return 2 * Math.min(batch, info?.maxBatchRequests ?? batch)
}
