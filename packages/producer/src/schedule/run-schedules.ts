// The long-running producer process: checks its schedules, and plans when a hook arrives. Any
// number of them may run for one output: each due tick is claimed in the store, so one of them
// plans it.

import { setTimeout as wait } from 'node:timers/promises'
import type { TickOutcome } from '@reembed/protocol'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Logger } from '@reembed/telemetry'
import type { HookKind } from '../hooks.ts'
import type { ProducerMetrics } from '../metrics/producer.ts'
import {
  checkSchedule,
  isoOf,
  type Schedule,
  type ScheduleCheck,
  type ScheduleTrigger,
  TICK_RECLAIM_MS,
} from './check.ts'
import { openCalendar } from './cron.ts'

/**
 * Interval of the checks: a due tick is planned at most this late, and the expired claim of another
 * producer is found at most this late.
 */
const CHECK_MS = 30_000

export interface ScheduleLoopOptions {
  readonly schedules: readonly Schedule[]
  readonly store: Store
  /** Plans a run and submits it, for example by `planAndEnqueue`. */
  readonly plan: (trigger: ScheduleTrigger) => Promise<TickOutcome>
  readonly log: Logger
  readonly metrics?: ProducerMetrics | undefined
  readonly signal: AbortSignal
}

/** Checks the schedules until the signal fires. A check that fails is logged and repeated. */
export async function runSchedules(options: ScheduleLoopOptions): Promise<void> {
  const { schedules, store, plan, log, metrics, signal } = options
  const calendars = schedules.map(({ cron, timezone }) => openCalendar(cron, timezone))
  while (!signal.aborted) {
    for (const schedule of schedules) {
      if (signal.aborted) return
      try {
        const check = await checkSchedule(store, schedule, {
          nowMs: Date.now(),
          onDue: ({ when }) => plan(when),
        })
        metrics?.checked(schedule, check)
        const level = check.status === 'failed' || check.status === 'abandoned' ? 'error' : 'info'
        if (check.status !== 'not_due') log[level]({ schedule: schedule.name }, describeCheck(check))
      } catch (error) {
        metrics?.checkFailed(schedule)
        log.warn({ schedule: schedule.name }, `schedule not checked: ${messageOf(error)}`)
      }
    }
    const nowMs = Date.now()
    const dueMs = calendars.flatMap(calendar => calendar.next(nowMs, 1)).map(tickMs => tickMs - nowMs)
    await wait(Math.min(CHECK_MS, ...dueMs), undefined, { signal }).catch(() => {})
  }
}

/**
 * Plans for each burst of hooks until the signal fires, as the trigger `always` does: a corpus and
 * a model that have not changed give the same run, which is finished already.
 */
export async function runHooks(
  hooks: HookQueue,
  { plan, log, metrics, signal }: Omit<ScheduleLoopOptions, 'schedules' | 'store'>,
): Promise<void> {
  for await (const kinds of hooks.bursts(signal)) {
    try {
      const { status, run } = await plan('always')
      metrics?.hookHandled(kinds, status)
      log.info({ kinds, run }, `hook: ${status}`)
    } catch (error) {
      metrics?.hookHandled(kinds, 'failed')
      log.error({ kinds }, `hook: ${messageOf(error)}`)
    }
  }
}

/** Collects hooks while a burst is handled. */
export interface HookQueue {
  readonly push: (kinds: readonly HookKind[]) => void
  bursts(signal: AbortSignal): AsyncGenerator<readonly HookKind[], void, undefined>
}

/** Hooks that arrive while a burst is handled form the next burst. */
export function createHookQueue(): HookQueue {
  const kinds = new Set<HookKind>()
  let pushed = Promise.withResolvers<void>()
  return {
    push(more) {
      for (const kind of more) kinds.add(kind)
      pushed.resolve()
    },
    async *bursts(signal) {
      signal.addEventListener('abort', () => pushed.resolve(), { once: true })
      while (true) {
        await pushed.promise
        if (signal.aborted) return
        pushed = Promise.withResolvers()
        const burst = [...kinds]
        kinds.clear()
        yield burst
      }
    },
  }
}

/** A check in one line, for a log or a terminal. */
export function describeCheck(check: ScheduleCheck): string {
  if (check.status === 'not_due') return 'nothing due'
  const tick = isoOf(check.tickMs)
  if (check.status === 'claimed') return `${tick} is being planned by another producer`
  if (check.status === 'abandoned')
    return `${tick} failed too often; the schedule continues with its next tick`
  if (check.status === 'failed') {
    const minutes = Math.round(TICK_RECLAIM_MS / 60_000)
    return `${tick} failed, retried in ${minutes} minutes: ${messageOf(check.error)}`
  }
  const { status, run } = check.outcome
  return `${tick} ${status === 'planned' ? `planned: run ${run}` : `${status}, newest run ${run}`}`
}
