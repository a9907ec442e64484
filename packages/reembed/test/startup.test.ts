// What is loaded before a command shows something. Figures of time depend on the machine, so none
// is asserted: docs/benchmarks.md has them.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

test('the packages of a run load neither apache-arrow nor an optional client', async () => {
  const code = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context) } })
    await import(${JSON.stringify(new URL('../src/commands/run.ts', import.meta.url).href)})
    console.log(JSON.stringify(loaded))`
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--conditions=@reembed/source',
    '--input-type=module',
    '--eval',
    code,
  ])
  const loaded = JSON.parse(stdout) as string[]
  expect(loaded.some(url => url.includes('/undici/'))).toBe(true)
  expect(loaded.filter(url => /node_modules\/(apache-arrow|pg|@lancedb|unpdf)\//.test(url))).toEqual([])
})

test("the command keeps its compiled code in its user's folder for caches, apart from that of a worker", async () => {
  const place = await mkdtemp(join(tmpdir(), 'reembed-startup-'))
  const [home, other] = [join(place, 'home'), join(place, 'other')]
  const { NODE_COMPILE_CACHE: _, NODE_DISABLE_COMPILE_CACHE: __, ...env } = process.env
  const start = (set: NodeJS.ProcessEnv, ...command: string[]) =>
    promisify(execFile)(process.execPath, ['--conditions=@reembed/source', MAIN, ...command, '--help'], {
      cwd: place,
      env: { ...env, ...set },
    })
  const otherUser = '--import=data:text/javascript,process.getuid=()=>123456'
  try {
    await Promise.all([mkdir(home), mkdir(other)])
    const [, unmade] = await Promise.all([
      // The XDG specification: a relative path is invalid and is ignored.
      start({ XDG_CACHE_HOME: 'relative', HOME: home }),
      // A folder that cannot be made is no reason to end.
      start({ XDG_CACHE_HOME: '/dev/null' }),
      // As under `sudo` with the HOME of the caller.
      start({ XDG_CACHE_HOME: '', HOME: other, NODE_OPTIONS: otherUser }),
    ])
    expect(unmade.stdout).toContain('Usage: reembed')
    expect(await readdir(place)).toEqual(['home', 'other'])
    expect(await readdir(other)).toEqual([])
    const code = join(home, '.cache', 'reembed', 'code')
    expect(await readdir(code)).toHaveLength(1)
    // A worker sets flags of V8, and V8 rejects code that was compiled under others.
    await start({ XDG_CACHE_HOME: join(home, '.cache') }, 'worker')
    expect(await readdir(code)).toHaveLength(2)
  } finally {
    await rm(place, { recursive: true })
  }
})
