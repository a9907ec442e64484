// The limit at the start, before replies show the capacity of the endpoint.

/** What a server states of its limits; null where it states nothing. */
export interface StatedLimits {
  readonly maxInputLength: number | null
  readonly maxBatchTokens: number | null
  readonly maxBatchRequests: number | null
}

/** Typical maximum of a document's tokens: models that accept more rarely receive more. */
const USUAL_TOKENS = 512
/** TEI's default. */
const USUAL_BATCH_TOKENS = 16_384

/**
 * Inputs that keep one server busy for any text length: one batch in the model and one in the
 * queue; 64 where it states nothing. The control loop finds the rest within a few windows: the
 * start value must neither overload a small server nor leave a large one idle.
 */
export function initialLimit(limits: StatedLimits | undefined): number {
  const tokens = Math.min(limits?.maxInputLength ?? USUAL_TOKENS, USUAL_TOKENS)
  const batch = Math.max(1, Math.floor((limits?.maxBatchTokens ?? USUAL_BATCH_TOKENS) / tokens))
  return 2 * Math.min(batch, limits?.maxBatchRequests ?? batch)
}
