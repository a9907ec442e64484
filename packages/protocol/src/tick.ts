// The records of a schedule: its start, the claim on a tick, and the outcome of a tick.

import { oneOf, record, text, tickDoneKey, ticksSinceKey, time } from '@reembed/shared'
import { getShaped, type Store } from '@reembed/store'

/** The outcome of a tick. */
export interface TickOutcome {
  readonly status: 'planned' | 'already_finished' | 'unchanged'
  readonly run: string
}

/**
 * A claim on a tick. The id makes the claims of two producers differ, so that only one is
 * 'created'.
 */
export interface TickClaim {
  readonly claimedAt: string
  readonly claimId: string
}

/**
 * Reads the outcome of a tick; undefined while it has none. @throws ReembedError CORRUPT if it is
 * invalid
 */
export const readTickOutcome = (
  store: Store,
  schedule: string,
  tickMs: number,
): Promise<TickOutcome | undefined> =>
  getShaped<TickOutcome>(store, tickDoneKey(schedule, tickMs), outcomeShape, 'a tick outcome')

/**
 * Reads the time from which ticks are due; undefined before the first check. @throws ReembedError
 * CORRUPT
 */
export async function readTicksSince(store: Store, schedule: string): Promise<number | undefined> {
  const key = ticksSinceKey(schedule)
  const found = await getShaped<{ since: string }>(store, key, sinceShape, 'a schedule start')
  return found && Date.parse(found.since)
}

/**
 * Reads the claim at `key`; undefined if there is none. @throws ReembedError CORRUPT if it is
 * invalid
 */
export const getTickClaim = (store: Store, key: string): Promise<TickClaim | undefined> =>
  getShaped<TickClaim>(store, key, claimShape, 'the claim on a tick')

const outcomeShape = record<TickOutcome>({
  status: oneOf(['planned', 'already_finished', 'unchanged']),
  run: text,
})
const sinceShape = record<{ since: string }>({ since: time })
const claimShape = record<TickClaim>({ claimedAt: time, claimId: text })
