// The reaction to a failed request, one case per kind of failure. Pure. Read this first to explain
// the retries of a run.

import type { Failure } from '@reembed/endpoint'
import type { RejectReason } from '@reembed/protocol'

export type Reaction =
  /** Retry after `ms`, in requests of at most `inputs`. */
  | { readonly do: 'retry'; readonly ms: number; readonly inputs: number }
  /** Reject the text; with proof `good_text` only if a known good text succeeds. */
  | { readonly do: 'reject'; readonly reason: RejectReason; readonly proof: 'good_text' | 'none' }
  /** Fail: a retry cannot help. */
  | { readonly do: 'stop' }

/**
 * @param inputs texts in the failed request
 * @param tries failures of this kind of this request and of those it was split from, this one
 * included; a text that a split left alone starts from 1
 */
export function react(failure: Failure, inputs: number, tries: number, random: () => number): Reaction {
  const half = Math.ceil(inputs / 2)
  const split: Reaction = { do: 'retry', ms: 0, inputs: half }
  const wait = (baseMs: number, capMs: number, most = inputs): Reaction => ({
    do: 'retry',
    // Full jitter: clients that failed together must not retry together.
    ms: (failure.afterMs ?? 0) + random() * Math.min(capMs, baseMs * 2 ** (tries - 1)),
    inputs: most,
  })

  switch (failure.kind) {
    // Half the inputs need half the permits.
    case 'overload':
      return wait(100, 5_000, tries > 3 ? half : inputs)
    case 'cold_start':
      return wait(1_000, 15_000)
    case 'down':
      return wait(1_000, 30_000)
    case 'gateway':
      if (tries > 6) return { do: 'stop' }
      return wait(500, 20_000, failure.status === 504 ? half : inputs)
    case 'reset':
      return tries > 6 ? { do: 'stop' } : wait(500, 20_000)
    case 'timeout':
      return tries > 3 ? { do: 'stop' } : wait(500, 5_000, half)
    case 'corrupt':
      return tries > 3 ? { do: 'stop' } : wait(200, 5_000)
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
