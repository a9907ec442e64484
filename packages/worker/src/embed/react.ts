// What to do about a request that failed. Pure, one row per kind of failure; what a person would
// look up first when a run behaves strangely.

import type { Failure } from '@reembed/endpoint'
import type { RejectReason } from '@reembed/protocol'

export type Reaction =
  /** Send again after `ms`, in requests of at most `inputs`. */
  | { readonly do: 'retry'; readonly ms: number; readonly inputs: number }
  /** The text is at fault, unless a text known to be good fails as well. */
  | { readonly do: 'reject'; readonly reason: RejectReason; readonly proof: 'good_text' | 'none' }
  /** Nothing more can be done here. */
  | { readonly do: 'stop' }

/**
 * @param inputs texts in the failed request
 * @param tries how often this request, or one it was split from, failed in this way, counting this
 * time;
 *   a text alone in its request starts from 1 again
 */
export function react(failure: Failure, inputs: number, tries: number, random: () => number): Reaction {
  const half = Math.ceil(inputs / 2)
  const split: Reaction = { do: 'retry', ms: 0, inputs: half }
  const wait = (baseMs: number, capMs: number, most = inputs): Reaction => ({
    do: 'retry',
    // Full jitter: clients that failed together must not come back together.
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
    // Another client's text on the same GPU batch fails ours too: once more whole, then look for
    // the culprit.
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
    // One of several replicas may be a step ahead: the next try may meet another. If none is left,
    // the run waits.
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
