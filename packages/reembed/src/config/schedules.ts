// The schedules of reembed.yaml. The file is where they live: a ConfigMap or a repository says what
// runs when, and `schedule add` and `rm` edit it, comments kept.

import { writeFile } from 'node:fs/promises'
import { openCalendar, type Schedule } from '@reembed/producer'
import { messageOf, ReembedError } from '@reembed/shared'
import type { Command } from 'commander'
import { DEFAULT_FILE } from './config-keys.ts'
import { type ConfigFile, parseConfigFile, readConfigFile } from './file.ts'
import { schemaOf } from './schema.ts'

/**
 * The file that a command was given; without one there are no schedules. @throws ReembedError USAGE
 */
export async function requireConfigFile(command: Command): Promise<ConfigFile> {
  const named = command.getOptionValue('config') as string | undefined
  const file = await readConfigFile(named, schemaOf(rootOf(command)))
  if (file) return file
  throw new ReembedError(
    'USAGE',
    `schedules stand in ${DEFAULT_FILE}, and there is none here: \`reembed init\` writes one`,
  )
}

/**
 * @throws ReembedError USAGE with the line of a schedule whose cron or time zone is none, or whose
 * name comes twice.
 */
export function schedulesOf(file: ConfigFile): Schedule[] {
  const schedules = (file.content.schedules ?? []) as Schedule[]
  for (const [i, { name, cron, timezone }] of schedules.entries()) {
    const where = file.locate(`schedules.${i}`)
    if (schedules.findIndex(one => one.name === name) < i)
      throw new ReembedError('USAGE', `${where}: there are two schedules '${name}'`)
    try {
      openCalendar(cron, timezone)
    } catch (error) {
      throw new ReembedError('USAGE', `${where}: schedule '${name}': ${messageOf(error)}`, { cause: error })
    }
  }
  return schedules
}

/**
 * Adds a schedule to the file. @throws ReembedError USAGE if it has one of that name, or this one
 * is not valid.
 */
export async function addSchedule(file: ConfigFile, schedule: Schedule, program: Command): Promise<void> {
  openCalendar(schedule.cron, schedule.timezone)
  if (schedulesOf(file).some(({ name }) => name === schedule.name))
    throw new ReembedError(
      'USAGE',
      `${file.name} has a schedule '${schedule.name}' already: \`reembed schedule rm ${schedule.name}\` first`,
    )
  const { document } = file
  if (document.has('schedules')) document.addIn(['schedules'], document.createNode(schedule))
  else document.set('schedules', document.createNode([schedule]))
  await save(file, program)
}

/** @throws ReembedError USAGE if there is none of that name. */
export async function removeSchedule(file: ConfigFile, name: string, program: Command): Promise<void> {
  const names = schedulesOf(file).map(schedule => schedule.name)
  const index = names.indexOf(name)
  if (index < 0) {
    const there = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`
    throw new ReembedError('USAGE', `no schedule '${name}' in ${file.name}: ${there}`)
  }
  if (names.length === 1) file.document.delete('schedules')
  else file.document.deleteIn(['schedules', index])
  await save(file, program)
}

async function save(file: ConfigFile, program: Command): Promise<void> {
  const text = file.document.toString({ lineWidth: 0 })
  parseConfigFile(text, file.name, schemaOf(program))
  await writeFile(file.name, text)
}

export function rootOf(command: Command): Command {
  return command.parent ? rootOf(command.parent) : command
}
