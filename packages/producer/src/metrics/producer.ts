// Metrics of a producer: ticks of its schedules, hooks, and when the next tick is due.

import type { TickOutcome } from '@reembed/protocol'
import type { Registry } from '@reembed/telemetry'
import type { HookKind } from '../hooks.ts'
import type { Schedule, ScheduleCheck } from '../schedule/check.ts'
import type { Calendar } from '../schedule/cron.ts'

export interface ProducerMetrics {
  checked(schedule: Schedule, check: ScheduleCheck): void
  checkFailed(schedule: Schedule): void
  hookHandled(kinds: readonly HookKind[], status: TickOutcome['status'] | 'failed'): void
}

const PLANNED: readonly TickOutcome['status'][] = ['planned', 'already_finished', 'unchanged']
const HOOKS: readonly HookKind[] = ['huggingface', 'mlflow', 'generic']

/** Declares the metrics of a producer; the next ticks are computed when scraped. */
export function registerProducerMetrics(
  registry: Registry,
  schedules: readonly { readonly schedule: Schedule; readonly calendar: Calendar }[],
): ProducerMetrics {
  const names = schedules.map(({ schedule }) => schedule.name)
  const ticks = registry.counter(
    'reembed_schedule_ticks_total',
    'Ticks that this producer claimed, by outcome.',
    { schedule: names, status: [...PLANNED, 'failed', 'abandoned'] },
  )
  const checkFailures = registry.counter(
    'reembed_schedule_check_failures_total',
    'Checks of a schedule that failed because the store did not answer.',
    { schedule: names },
  )
  const next = registry.gauge(
    'reembed_schedule_next_tick_timestamp_seconds',
    'Time of the next tick of the schedule, in Unix seconds.',
    { schedule: names },
  )
  const hooks = registry.counter('reembed_hooks_total', 'Hooks received, by kind; a burst counts once.', {
    kind: HOOKS,
  })
  const plans = registry.counter('reembed_hook_plans_total', 'Plans made for hooks, by outcome.', {
    status: [...PLANNED, 'failed'],
  })
  registry.collect(() => {
    for (const { schedule, calendar } of schedules) {
      const [tickMs] = calendar.next(Date.now(), 1)
      if (tickMs !== undefined) next.set(tickMs / 1000, { schedule: schedule.name })
    }
  })
  return {
    checked({ name }, check) {
      if (check.status === 'not_due' || check.status === 'claimed') return
      ticks.add(1, { schedule: name, status: check.status === 'done' ? check.outcome.status : check.status })
    },
    checkFailed: ({ name }) => checkFailures.add(1, { schedule: name }),
    hookHandled(kinds, status) {
      for (const kind of kinds) hooks.add(1, { kind })
      plans.add(1, { status })
    },
  }
}
