// The schedules of reembed.yaml. The file is their only source, so a ConfigMap or a repository can
// hold them. `schedule add` and `rm` edit it and keep its comments.

import { writeFile } from 'node:fs/promises'
import { openCalendar, type Schedule } from '@reembed/producer'
import { messageOf, ReembedError } from '@reembed/shared'
import type { Command } from 'commander'
import { DEFAULT_FILE } from './config-keys.ts'
import { type ConfigFile, parseConfigFile, readConfigFile } from './file.ts'
import { schemaOf } from './schema.ts'

/** Reads the file of a command; undefined without one. */
export const configFileOf = (command: Command): Promise<ConfigFile | undefined> =>
  readConfigFile(command.getOptionValue('config'), schemaOf(rootOf(command)))

/**
 * Reads the file of a command that needs schedules.
 * @throws ReembedError USAGE without a file
 */
export async function requireConfigFile(command: Command): Promise<ConfigFile> {
  const file = await configFileOf(command)
  if (file) return file
  throw new ReembedError(
    'USAGE',
    `no ${DEFAULT_FILE} in this folder, which must hold the schedules: write one with \`reembed init\``,
  )
}

/**
 * @throws ReembedError USAGE with the line of a schedule whose cron expression or time zone is not
 * valid, or whose name is not unique
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
 * Adds a schedule to the file.
 * @throws ReembedError USAGE for an existing name or a schedule that is not valid
 */
export async function addSchedule(file: ConfigFile, schedule: Schedule, program: Command): Promise<void> {
  openCalendar(schedule.cron, schedule.timezone)
  if (schedulesOf(file).some(({ name }) => name === schedule.name))
    throw new ReembedError(
      'USAGE',
      `${file.name} already has a schedule '${schedule.name}': remove it with \`reembed schedule rm ${schedule.name}\` first`,
    )
  const { document } = file
  if (document.has('schedules')) document.addIn(['schedules'], document.createNode(schedule))
  else document.set('schedules', document.createNode([schedule]))
  await save(file, program)
}

/** @throws ReembedError USAGE for a name that does not exist */
export async function removeSchedule(file: ConfigFile, name: string, program: Command): Promise<void> {
  const names = schedulesOf(file).map(schedule => schedule.name)
  const index = names.indexOf(name)
  if (index < 0) {
    const existing = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`
    throw new ReembedError('USAGE', `no schedule '${name}' in ${file.name}: ${existing}`)
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
