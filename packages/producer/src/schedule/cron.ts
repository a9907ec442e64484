// Computes when a schedule is due: cron with five fields and a time zone. A tick in the hour that
// daylight saving skips comes when the skip ends; in the hour that it repeats, it comes once,
// unless the hour is '*'.

import { messageOf, ReembedError } from '@reembed/shared'
import { Cron } from 'croner'

export interface Calendar {
  /** The last tick at or before `nowMs`; undefined if none is known. */
  latest(nowMs: number): number | undefined
  /** The next ticks after `nowMs`. */
  next(nowMs: number, count: number): number[]
}

/**
 * Parses a cron expression.
 * @throws ReembedError USAGE naming what is wrong with the expression or the time zone.
 */
export function openCalendar(expression: string, timeZone: string): Calendar {
  if (!isTimeZone(timeZone))
    throw new ReembedError(
      'USAGE',
      `there is no time zone '${timeZone}': expected one like UTC or Europe/Berlin`,
    )
  let cron: Cron
  try {
    cron = new Cron(expression, { timezone: timeZone, paused: true, mode: '5-part' })
  } catch (cause) {
    throw new ReembedError(
      'USAGE',
      `'${expression}' is not a cron expression: ${messageOf(cause)
        .replace(/^CronPattern: /, '')
        .replace(/\.$/, '')}; expected five fields like '0 3 * * *'`,
      { cause },
    )
  }
  if (cron.nextRun() === null)
    throw new ReembedError('USAGE', `'${expression}' never matches a date: check its day and month`)
  return {
    // The library's 'previous' leaves out the reference itself.
    latest: nowMs => cron.previousRuns(1, new Date(nowMs + 1))[0]?.getTime(),
    next: (nowMs, count) => cron.nextRuns(count, new Date(nowMs)).map(date => date.getTime()),
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
