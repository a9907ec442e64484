// When, by which actor and why a decision was recorded. For people: no decision depends on it.

import { optional, type Shape, text, time } from '@reembed/shared'

/** The origin of a decision about a run. */
export interface Attribution {
  /** ISO 8601 time of the clock of the process that recorded it. */
  readonly at?: string | undefined
  /** The actor: 'ada@build-7', or the name of the process, 'sweeper'. */
  readonly by?: string | undefined
  /** The reason that the actor gave. */
  readonly reason?: string | undefined
}

/** The actor and the reason; the time is added when the decision is recorded. */
export type Actor = Omit<Attribution, 'at'>

/** The shapes of an attribution, for the shape of a record that has one. */
export const attributionFields: Readonly<Record<keyof Attribution, Shape>> = {
  at: optional(time),
  by: optional(text),
  reason: optional(text),
}

/** The record with the present time. */
export const stamped = <T extends Attribution>(record: T): T => ({ ...record, at: new Date().toISOString() })
