// What is loaded before a command shows something. Figures of time depend on the machine, so none
// is asserted: docs/benchmarks.md has them.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))

/**
 * Records every file that is loaded. At the first output it prints them and ends the process; the
 * output is that of a terminal.
 */
const RECORDER = `
import { registerHooks } from 'node:module'
import { writeSync } from 'node:fs'
const loaded = []
registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context) } })
for (const stream of [process.stdout, process.stderr]) {
  stream.isTTY = true
  stream.write = text => {
    writeSync(1, JSON.stringify({ text, loaded }))
    process.exit(0)
  }
}`

/** The first output of the command, and what was loaded for it: 'packages/...' or 'commander'. */
async function firstOutput(...args: string[]): Promise<{ text: string; loaded: string[] }> {
  const { CI: _, ...env } = process.env
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      '--conditions=@reembed/source',
      '--import',
      `data:text/javascript,${encodeURIComponent(RECORDER)}`,
      MAIN,
      ...args,
    ],
    { env: { ...env, TERM: 'xterm' } },
  )
  const { text, loaded } = JSON.parse(stdout) as { text: string; loaded: string[] }
  const names = loaded.map(
    url =>
      /\/packages\/(\w+\/src\/.*)$/.exec(url)?.[1] ??
      /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ??
      url,
  )
  return { text, loaded: [...new Set(names)].filter(name => !name.startsWith('node:')) }
}

test('a command shows its first line before anything but the line itself is loaded', async () => {
  const { text, loaded } = await firstOutput('search', 'words', '--output', '/nowhere')
  expect(text).toContain('reembed: starting')
  expect(loaded).toEqual(['reembed/src/main.ts', 'reembed/src/step-line.ts'])
})

test('--help loads the declarations of the commands, and neither a command nor a library of one', async () => {
  const { text, loaded } = await firstOutput('--help')
  expect(text).toContain('Usage: reembed')
  const packages = new Set(loaded.map(name => name.split('/src/')[0]))
  expect([...packages].sort()).toEqual(['commander', 'protocol', 'reembed', 'shared', 'store'])
  expect(loaded.filter(name => name.startsWith('reembed/src/commands/'))).toEqual([])
})
