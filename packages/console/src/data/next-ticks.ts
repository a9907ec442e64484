// When the schedules of an output plan their next runs.

import { openCalendar, type Schedule } from '@reembed/producer'

export interface NextTick {
  readonly schedule: Schedule
  readonly atMs: number
}

/** The schedules of one output. */
export interface OutputSchedules {
  readonly output: string
  readonly schedules: readonly Schedule[]
}

/**
 * Returns the next tick of each schedule of an output, earliest first.
 * @throws ReembedError USAGE for a cron expression or a time zone that is not valid
 */
export function createNextTicks(
  { output: of, schedules }: OutputSchedules = { output: '', schedules: [] },
): (output: string, nowMs: number) => readonly NextTick[] {
  const calendars = schedules.map(schedule => ({
    schedule,
    calendar: openCalendar(schedule.cron, schedule.timezone),
  }))
  return (output, nowMs) =>
    output !== of
      ? []
      : calendars
          .flatMap(({ schedule, calendar }) => calendar.next(nowMs, 1).map(atMs => ({ schedule, atMs })))
          .sort((a, b) => a.atMs - b.atMs)
}
