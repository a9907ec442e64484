import {
  checkSchedule,
  describeCheck,
  describeSchedules,
  isoOf,
  openCalendar,
  type Schedule,
  type ScheduleCheck,
  type ScheduleTrigger,
} from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { listSchedules } from '@reembed/render'
import { printable } from '@reembed/shared'
import type { Command } from 'commander'
import { addSchedule, removeSchedule, requireConfigFile, rootOf, schedulesOf } from '../config/schedules.ts'
import { checkEndpoint, openExistingOutput, openOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { note, print } from '../output.ts'
import { type ProducerFlags, planTick } from '../planning-tick.ts'

/** `reembed schedule add`: adds the schedule to the file. */
export async function add(
  name: string,
  {
    cron,
    timezone,
    when,
  }: { readonly cron: string; readonly timezone: string; readonly when: ScheduleTrigger },
  self: Command,
): Promise<void> {
  const file = await requireConfigFile(self)
  await addSchedule(file, { name, cron, timezone, when }, rootOf(self))
  const next = openCalendar(cron, timezone).next(Date.now(), 1)
  note(`schedule  ${name} in ${file.name}, first due ${next.map(isoOf).join('')}`)
  note('run `reembed producer`, or `reembed schedule tick` from cron, to plan its runs')
}

/** `reembed schedule rm` */
export async function rm(name: string, self: Command): Promise<void> {
  const file = await requireConfigFile(self)
  await removeSchedule(file, name, rootOf(self))
  note(`schedule  ${name} removed from ${file.name}; its ticks and runs are kept`)
}

/** `reembed schedule ls` */
export async function ls(flags: Partial<OutputFlags> & JsonFlag, self: Command): Promise<void> {
  const schedules = schedulesOf(await requireConfigFile(self))
  const { output } = flags
  await using store =
    output === undefined ? undefined : await openExistingOutput({ ...flags, output }).catch(() => undefined)
  const rows = await describeSchedules(store, schedules, Date.now())
  print(flags.json, rows, listSchedules(rows))
}

/**
 * `reembed schedule tick`: checks the schedules once. Concurrent ticks and producers plan one run
 * per due tick.
 */
export async function tick(flags: ProducerFlags & JsonFlag, self: Command): Promise<void> {
  const schedules = schedulesOf(await requireConfigFile(self))
  await checkEndpoint(flags)
  await using store = await openOutput(flags)
  await using queue = await openQueue(requireRedis(flags))
  const checks: { schedule: string; check: ScheduleCheck }[] = []
  for (const schedule of schedules) {
    const onDue = (due: Schedule) => planTick(due.when, flags, store, queue)
    checks.push({
      schedule: schedule.name,
      check: await checkSchedule(store, schedule, { nowMs: Date.now(), onDue }),
    })
  }
  print(
    flags.json,
    checks.map(({ schedule, check }) => ({
      schedule,
      status: check.status,
      ...('tickMs' in check && { tick: isoOf(check.tickMs) }),
      ...('outcome' in check && check.outcome),
    })),
    checks
      .map(({ schedule, check }) => `${schedule.padEnd(16)}  ${printable(describeCheck(check))}`)
      .join('\n') || 'no schedules',
  )
  const failed = checks.find(({ check }) => check.status === 'failed')
  if (failed?.check.status === 'failed') throw failed.check.error
}
