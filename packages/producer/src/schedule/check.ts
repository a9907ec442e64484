// One run per due tick, however many producers check and however often. The store decides by
// put-if-absent; neither clocks of producers nor Redis do:
//
//   ticks/nightly/since.json                    the first check; earlier ticks do not count
//   ticks/nightly/20261122T030000Z.json         the claim of a tick: one producer wins
//   ticks/nightly/20261122T030000Z.1.json       the next claim: the producer above did not finish
//   ticks/nightly/20261122T030000Z.done.json    the outcome
//
// Only the latest due tick is checked, so missed ticks fold into one.

import { randomUUID } from 'node:crypto'
import {
  getTickClaim,
  putTickClaim,
  putTickOutcome,
  putTicksSince,
  readTickOutcome,
  readTicksSince,
  type TickClaim,
  type TickOutcome,
} from '@reembed/protocol'
import { tickDoneKey, tickKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { openCalendar } from './cron.ts'

export type ScheduleTrigger = 'always' | 'model_changed' | 'source_changed'

export interface Schedule {
  /** a-z, 0-9 and '-': part of a key. */
  readonly name: string
  readonly cron: string
  readonly timezone: string
  readonly when: ScheduleTrigger
}

export type ScheduleCheck =
  /** No tick is due, or the due one is done. */
  | { readonly status: 'not_due' }
  /** Another producer plans it. */
  | { readonly status: 'claimed'; readonly tickMs: number }
  /** Claimed too often without an outcome; the schedule continues with its next tick. */
  | { readonly status: 'abandoned'; readonly tickMs: number }
  | { readonly status: 'done'; readonly tickMs: number; readonly outcome: TickOutcome }
  /** Claimed again after TICK_RECLAIM_MS. */
  | { readonly status: 'failed'; readonly tickMs: number; readonly error: unknown }

export interface ScheduleCheckOptions {
  readonly nowMs: number
  /** Plans and enqueues; called for at most one tick. */
  readonly onDue: (schedule: Schedule) => Promise<TickOutcome>
}

/**
 * Age at which a claim without an outcome expires: its producer died or failed. Planning takes
 * minutes at most.
 */
export const TICK_RECLAIM_MS: number = 15 * 60_000
const MAX_CLAIMS = 8

/** Checks one schedule once. If a tick is due and no other producer has claimed it, plans it. */
export async function checkSchedule(
  store: Store,
  schedule: Schedule,
  { nowMs, onDue }: ScheduleCheckOptions,
): Promise<ScheduleCheck> {
  const tickMs = openCalendar(schedule.cron, schedule.timezone).latest(nowMs)
  const sinceMs = await readSince(store, schedule, nowMs)
  if (tickMs === undefined || tickMs <= sinceMs) return { status: 'not_due' }
  if (await store.head(tickDoneKey(schedule.name, tickMs))) return { status: 'not_due' }
  const claim = await claimTick(store, schedule, tickMs, nowMs)
  if (claim !== 'acquired') return { status: claim, tickMs }
  try {
    const outcome = await onDue(schedule)
    await putTickOutcome(store, schedule.name, tickMs, outcome)
    return { status: 'done', tickMs, outcome }
  } catch (error) {
    return { status: 'failed', tickMs, error }
  }
}

/**
 * The outcome of the last due tick, for display. Undefined if no tick was due yet, or if the
 * outcome of the last one is not recorded.
 */
async function lastTick(
  store: Store,
  { name, cron, timezone }: Schedule,
  nowMs: number,
): Promise<{ readonly tickMs: number; readonly outcome: TickOutcome } | undefined> {
  const tickMs = openCalendar(cron, timezone).latest(nowMs)
  if (tickMs === undefined) return undefined
  const outcome = await readTickOutcome(store, name, tickMs)
  return outcome && { tickMs, outcome }
}

/** A schedule with its next ticks, and its last one with the outcome if that is recorded. */
export interface ScheduleStatus extends Schedule {
  /** ISO dates. */
  readonly next: readonly string[]
  readonly last: {
    readonly tick: string
    readonly status: TickOutcome['status']
    readonly run: string
  } | null
}

/** Describes schedules, for display. @param store undefined: last ticks are not read */
export async function describeSchedules(
  store: Store | undefined,
  schedules: readonly Schedule[],
  nowMs: number,
): Promise<ScheduleStatus[]> {
  const described: ScheduleStatus[] = []
  for (const schedule of schedules) {
    const last = store && (await lastTick(store, schedule, nowMs))
    described.push({
      ...schedule,
      next: openCalendar(schedule.cron, schedule.timezone).next(nowMs, 3).map(isoOf),
      last: last ? { tick: isoOf(last.tickMs), status: last.outcome.status, run: last.outcome.run } : null,
    })
  }
  return described
}

/** An instant as text, without milliseconds where they are zero. */
export const isoOf = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z')

async function readSince(store: Store, { name }: Schedule, nowMs: number): Promise<number> {
  const known = await readTicksSince(store, name)
  if (known !== undefined) return known
  await putTicksSince(store, name, nowMs)
  return (await readTicksSince(store, name)) ?? Number.NaN
}

async function claimTick(
  store: Store,
  { name }: Schedule,
  tickMs: number,
  nowMs: number,
): Promise<'acquired' | 'claimed' | 'abandoned'> {
  for (let attempt = 0; attempt < MAX_CLAIMS; attempt += 1) {
    const key = tickKey(name, tickMs, attempt)
    // The random id makes claims differ: a store that reports 'created' for equal bytes, since its
    // earlier reply may have been lost, must not let two producers win.
    const claim: TickClaim = { claimedAt: new Date(nowMs).toISOString(), claimId: randomUUID() }
    if ((await putTickClaim(store, key, claim)) === 'created') return 'acquired'
    const other = await getTickClaim(store, key)
    if (nowMs - Date.parse(other?.claimedAt ?? '') < TICK_RECLAIM_MS) return 'claimed'
  }
  return 'abandoned'
}
