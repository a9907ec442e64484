// Schedules as lines of text.

import type { ScheduleStatus } from '@reembed/producer'

/** One line for each schedule: when its runs are planned, the next and the last tick. */
export const listSchedules = (schedules: readonly ScheduleStatus[]): string =>
  schedules.length === 0
    ? 'no schedules'
    : schedules
        .map(
          ({ name, cron, timezone, when, next, last }) =>
            `${name.padEnd(16)}  ${cron}  ${timezone}  ${when}  next ${next[0]}${last ? `, last ${last.tick} ${last.status} ${last.run}` : ''}`,
        )
        .join('\n')
