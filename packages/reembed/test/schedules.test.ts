// Schedules live in reembed.yaml: added and taken out with the comments kept, and checked with
// their line.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Schedule } from '@reembed/producer'
import { openStore } from '@reembed/store'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { parseConfigFile } from '../src/config/file.ts'
import { addSchedule, removeSchedule, schedulesOf } from '../src/config/schedules.ts'
import { schemaOf } from '../src/config/schema.ts'
import { servePages } from '../src/page-commands.ts'
import { createProgram } from '../src/program.ts'

const program = createProgram()
const before = 'version: 1\n# the wiki\nsource: { uri: s3://corpora/wiki/ } # all of it\n'
const nightly: Schedule = {
  name: 'nightly',
  cron: '0 3 * * *',
  timezone: 'Europe/Berlin',
  when: 'model_changed',
}

let folder: string
let name: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-schedules-'))
  name = join(folder, 'reembed.yaml')
  await writeFile(name, before)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const read = async () => parseConfigFile(await readFile(name, 'utf8'), name, schemaOf(program))

test('an added schedule is in the file, a removed one is not, and comments are kept', async () => {
  await addSchedule(await read(), nightly, program)
  await addSchedule(await read(), { ...nightly, name: 'weekly', cron: '0 3 * * 1' }, program)
  expect(schedulesOf(await read())).toEqual([nightly, { ...nightly, name: 'weekly', cron: '0 3 * * 1' }])
  expect(await readFile(name, 'utf8')).toContain(before)
  await removeSchedule(await read(), 'nightly', program)
  await removeSchedule(await read(), 'weekly', program)
  expect(await readFile(name, 'utf8')).toBe(before)
})

test('an invalid change of a schedule is one line of error, and the file is unchanged', async () => {
  await addSchedule(await read(), nightly, program)
  const text = await readFile(name, 'utf8')
  const add = async (change: Partial<Schedule>) =>
    addSchedule(await read(), { ...nightly, name: 'x', ...change }, program)
  await expect(add({ name: 'nightly' })).rejects.toThrow(
    "already has a schedule 'nightly': remove it with `reembed schedule rm nightly` first",
  )
  await expect(add({ timezone: 'Mars' })).rejects.toThrow(
    "there is no time zone 'Mars': expected one like UTC or Europe/Berlin",
  )
  await expect(add({ cron: '99 3 * * *' })).rejects.toThrow(
    "'99 3 * * *' is not a cron expression: Invalid value for minute: 99",
  )
  await expect(add({ name: 'Not/A/Name' })).rejects.toThrow('a-z, 0-9 and -, at most 63')
  await expect(removeSchedule(await read(), 'x', program)).rejects.toThrow("no schedule 'x' in ")
  expect(await readFile(name, 'utf8')).toBe(text)
})

test('an invalid or duplicate schedule in the file is reported with its line', async () => {
  const schedules = (...lines: string[]) =>
    schedulesOf(
      parseConfigFile(
        `version: 1\nschedules:\n${lines.map(line => `  - ${line}\n`).join('')}`,
        'f.yaml',
        schemaOf(program),
      ),
    )
  expect(schedules('{ name: a, cron: 0 3 * * * }')).toEqual([
    { name: 'a', cron: '0 3 * * *', timezone: 'UTC', when: 'always' },
  ])
  expect(() => schedules('{ name: a, cron: 0 3 * * * }', '{ name: b, cron: 0 3 * * }')).toThrow(
    "f.yaml:4: schedule 'b': '0 3 * *' is not a cron",
  )
  expect(() => schedules('{ name: a, cron: 0 3 * * * }', '{ name: a, cron: 0 4 * * * }')).toThrow(
    "f.yaml:4: there are two schedules 'a'",
  )
  expect(() => schedules('{ name: a, corn: 0 3 * * * }')).toThrow(
    "f.yaml:3: unknown key 'schedules.0.corn' (did you mean 'schedules.0.cron'?)",
  )
})

test.each([
  ['a path relative to the file', './second'],
  ['a trailing slash', 'second/'],
  ['the URL of a folder', `file://\${REEMBED_TEST_OUTPUT}`],
  ['a variable', `\${REEMBED_TEST_OUTPUT}`],
])('the card of the output that the file names has the schedules, also by %s', async (_, uri) => {
  await using stack = new AsyncDisposableStack()
  const [first, second] = [join(folder, 'first'), join(folder, 'second')]
  vi.stubEnv('REEMBED_TEST_OUTPUT', second)
  stack.defer(() => void vi.unstubAllEnvs())
  await writeFile(name, `${before}output: { uri: "${uri}" }\n`)
  await addSchedule(await read(), nightly, program)
  const stores = [await openStore(first, { create: true }), await openStore(second, { create: true })]
  const self = createProgram().commands.find(command => command.name() === 'console')
  self?.setOptionValue('config', name)
  const url = await servePages('0', { stores, redis: undefined }, stack, self)
  const cards = (await (await fetch(url)).text()).split('<article')
  const [of] = cards.filter(card => card.includes('schedule <b>nightly'))
  expect(of).toContain(`<small class="url">${second}<`)
})
