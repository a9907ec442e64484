import {
  type Look,
  lastTick,
  lookAtSchedule,
  openCalendar,
  type Schedule,
  type When,
} from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import type { Command } from 'commander'
import { addSchedule, removeSchedule, requireConfigFile, rootOf, schedulesOf } from '../config/schedules.ts'
import { note, print } from '../format.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { checkEndpoint, openFinished, openOutput, requireEndpoint, requireRedis } from '../parts.ts'
import { type FleetFlags, planTick } from '../planning-tick.ts'

/** `reembed schedule add`: writes the schedule into the file. */
export async function add(
  name: string,
  { cron, timezone, when }: { readonly cron: string; readonly timezone: string; readonly when: When },
  self: Command,
): Promise<void> {
  const file = await requireConfigFile(self)
  await addSchedule(file, { name, cron, timezone, when }, rootOf(self))
  const next = openCalendar(cron, timezone).next(Date.now(), 1)
  note(`schedule  ${name} in ${file.name}, first due ${next.map(isoOf).join('')}`)
  note('a `reembed producer`, or `reembed schedule tick` from cron, makes its runs')
}

/** `reembed schedule rm` */
export async function rm(name: string, self: Command): Promise<void> {
  const file = await requireConfigFile(self)
  await removeSchedule(file, name, rootOf(self))
  note(`schedule  ${name} is gone from ${file.name}; its ticks and runs stay`)
}

/** `reembed schedule ls` */
export async function ls(flags: Partial<OutputFlags> & JsonFlag, self: Command): Promise<void> {
  const schedules = schedulesOf(await requireConfigFile(self))
  const { output } = flags
  await using store =
    output === undefined ? undefined : await openFinished({ ...flags, output }).catch(() => undefined)
  const nowMs = Date.now()
  const rows = []
  for (const schedule of schedules) {
    const last = store && (await lastTick(store, schedule, nowMs))
    rows.push({
      ...schedule,
      next: openCalendar(schedule.cron, schedule.timezone).next(nowMs, 3).map(isoOf),
      last: last ? { tick: isoOf(last.tickMs), status: last.outcome.status, run: last.outcome.run } : null,
    })
  }
  print(
    flags.json,
    rows,
    rows.length === 0
      ? 'no schedules'
      : rows
          .map(
            ({ name, cron, timezone, when, next, last }) =>
              `${name.padEnd(16)}  ${cron}  ${timezone}  ${when}  next ${next[0]}${last ? `, last ${last.tick} ${last.status} ${last.run}` : ''}`,
          )
          .join('\n'),
  )
}

/** `reembed schedule tick`: one look. Any number of them, and of producers, make one run of each due tick. */
export async function tick(flags: FleetFlags & JsonFlag, self: Command): Promise<void> {
  const schedules = schedulesOf(await requireConfigFile(self))
  await checkEndpoint(flags)
  await using store = await openOutput(flags)
  await using queue = await openQueue(requireRedis(flags))
  const looks: { schedule: string; look: Look }[] = []
  for (const schedule of schedules) {
    const act = async (due: Schedule) => planTick(due.when, flags, await requireEndpoint(flags), store, queue)
    looks.push({
      schedule: schedule.name,
      look: await lookAtSchedule(store, schedule, { nowMs: Date.now(), act }),
    })
  }
  print(
    flags.json,
    looks.map(({ schedule, look }) => ({
      schedule,
      status: look.status,
      ...('tickMs' in look && { tick: isoOf(look.tickMs) }),
      ...('outcome' in look && look.outcome),
    })),
    looks.map(({ schedule, look }) => `${schedule.padEnd(16)}  ${describeLook(look)}`).join('\n') ||
      'no schedules',
  )
  const failed = looks.find(({ look }) => look.status === 'failed')
  if (failed?.look.status === 'failed') throw failed.look.error
}

/** One look in words. */
export function describeLook(look: Look): string {
  if (look.status === 'waiting') return 'nothing due'
  const tick = isoOf(look.tickMs)
  if (look.status === 'taken') return `${tick} is being planned by another`
  if (look.status === 'given_up') return `${tick} was tried too often, the next one comes`
  if (look.status === 'failed')
    return `${tick} failed, is tried again in 15 minutes: ${messageOf(look.error)}`
  const { status, run } = look.outcome
  return `${tick} ${status === 'planned' ? `planned: run ${run}` : `${status}, newest run ${run}`}`
}

const isoOf = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z')
