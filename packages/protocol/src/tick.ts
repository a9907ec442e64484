// The records of a schedule: its start, the claim on a tick, and the outcome of a tick.

import { filledText, oneOf, record, tickDoneKey, ticksSinceKey, time } from '@reembed/shared'
import { objectKind, type Store } from '@reembed/store'

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
): Promise<TickOutcome | undefined> => outcomes.read(store, tickDoneKey(schedule, tickMs))

/** Writes the outcome of a tick, put-if-absent. */
export const putTickOutcome = (
  store: Store,
  schedule: string,
  tickMs: number,
  outcome: TickOutcome,
): Promise<'created' | 'exists'> => outcomes.put(store, tickDoneKey(schedule, tickMs), outcome)

/**
 * Reads the time from which ticks are due; undefined before the first check. @throws ReembedError
 * CORRUPT
 */
export async function readTicksSince(store: Store, schedule: string): Promise<number | undefined> {
  const found = await starts.read(store, ticksSinceKey(schedule))
  return found && Date.parse(found.since)
}

/** Writes the time from which ticks are due, put-if-absent. */
export const putTicksSince = (
  store: Store,
  schedule: string,
  sinceMs: number,
): Promise<'created' | 'exists'> =>
  starts.put(store, ticksSinceKey(schedule), { since: new Date(sinceMs).toISOString() })

/**
 * Reads the claim at `key`; undefined if there is none. @throws ReembedError CORRUPT if it is
 * invalid
 */
export const getTickClaim = (store: Store, key: string): Promise<TickClaim | undefined> =>
  claims.read(store, key)

/** Writes a claim on a tick, put-if-absent: the producer that creates it owns the tick. */
export const putTickClaim = (store: Store, key: string, claim: TickClaim): Promise<'created' | 'exists'> =>
  claims.put(store, key, claim)

const outcomes = objectKind<TickOutcome>({
  noun: 'a tick outcome that reembed wrote',
  shape: record<TickOutcome>({
    status: oneOf(['planned', 'already_finished', 'unchanged']),
    run: filledText,
  }),
})
const starts = objectKind<{ readonly since: string }>({
  noun: 'a schedule start that reembed wrote',
  shape: record<{ since: string }>({ since: time }),
})
const claims = objectKind<TickClaim>({
  noun: 'the claim on a tick that reembed wrote',
  shape: record<TickClaim>({ claimedAt: time, claimId: filledText }),
})
