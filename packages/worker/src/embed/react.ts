// The reaction to a failed request, one case per kind of failure. Pure. Read this first to explain
// the retries of a run.

import type { Failure } from '@reembed/endpoint'
import type { RejectReason } from '@reembed/protocol'

export type Reaction =
  /** Retry after `ms`, in requests of at most `inputs`. */
  | { readonly do: 'retry'; readonly ms: number; readonly inputs: number }
  /** Reject the text; with proof `good_text` only if a known good text succeeds. */
  | { readonly do: 'reject'; readonly reason: RejectReason; readonly proof: 'good_text' | 'none' }
  /**
   * Prove by a known good text that the endpoint works. If it does, the request is at fault: halve
   * it, or reject its text. If not, wait `ms` and retry, or fail where `ms` is null.
   */
  | { readonly do: 'isolate'; readonly ms: number | null }
  /** Fail: a retry cannot help. */
  | { readonly do: 'stop' }

/** Failures of a request before the endpoint is proved. */
const ISOLATE_FROM = 3

/**
 * @param inputs texts in the failed request
 * @param tries failures of this kind of this request and of those it was split from, this one
 * included; a text that a split left alone starts from 1
 * @param isProof whether the request is the known good text itself
 */
export function react(
  failure: Failure,
  inputs: number,
  tries: number,
  random: () => number,
  isProof = false,
): Reaction {
  const half = Math.ceil(inputs / 2)
  const split: Reaction = { do: 'retry', ms: 0, inputs: half }
  const wait = (baseMs: number, capMs: number, most = inputs): Reaction & { do: 'retry' } => ({
    do: 'retry',
    // Full jitter: clients that failed together must not retry together.
    ms: (failure.afterMs ?? 0) + random() * Math.min(capMs, baseMs * 2 ** (tries - 1)),
    inputs: most,
  })

  /** After a few tries, finds out whether the request or the endpoint is at fault. */
  const isolate = (retry: Reaction & { do: 'retry' }, atMost: number): Reaction => {
    if (isProof) return tries > atMost ? { do: 'stop' } : retry
    return tries < ISOLATE_FROM ? retry : { do: 'isolate', ms: tries > atMost ? null : retry.ms }
  }

  switch (failure.kind) {
    // Half the inputs need half the permits.
    case 'overload':
      return wait(100, 5_000, tries > 3 ? half : inputs)
    case 'cold_start':
      return wait(1_000, 15_000)
    case 'down':
      return wait(1_000, 30_000)
    case 'gateway':
      return isolate(wait(500, 20_000, failure.status === 504 ? half : inputs), 6)
    case 'reset':
      return isolate(wait(500, 20_000), 6)
    case 'timeout':
      return isolate(wait(500, 5_000, half), 3)
    case 'corrupt':
      return tries > 3 ? { do: 'stop' } : wait(200, 5_000)
    // After the retries, which may reach another replica: parts too small to tell. The model may
    // know no word of these texts. Verification counts what all shards have of such vectors.
    case 'collapsed':
      return tries > 3 && inputs > 1 ? split : wait(200, 5_000)
    // A text of another client in the same GPU batch fails this request too: retry it whole, then
    // split it to find the text.
    case 'backend':
      if (inputs > 1) return tries > 1 ? split : wait(500, 20_000)
      return tries < 3 ? wait(500, 20_000) : { do: 'reject', reason: 'refused_by_model', proof: 'good_text' }
    case 'batch_limit':
      return failure.limit < inputs ? { do: 'retry', ms: 0, inputs: failure.limit } : { do: 'stop' }
    case 'too_large':
    case 'too_long':
      return inputs > 1 ? split : { do: 'reject', reason: 'too_large', proof: 'none' }
    case 'bad_input':
      return inputs > 1 ? split : { do: 'reject', reason: 'refused_by_model', proof: 'good_text' }
    // During a rolling update the next attempt may reach another replica. If none is left, the job
    // is delayed.
    case 'wrong_model':
      return tries > 12 ? { do: 'stop' } : wait(200, 2_000)
    case 'access_denied':
    case 'paused':
    case 'route_missing':
    case 'redirect':
    case 'unsupported':
      return { do: 'stop' }
  }
}
