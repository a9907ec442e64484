#!/usr/bin/env node

// The `reembed` command as a process. Loading a command takes a few hundred milliseconds, so only
// step-line.ts, which imports nothing, is loaded before the first line is shown.

import { statSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { steps } from './step-line.ts'

/** Commands that write logs until they are stopped. */
const DAEMONS: ReadonlySet<string> = new Set(['worker', 'producer', 'exporter'])
/**
 * By default V8 lets the heap grow to several times the live bytes. A lower growth keeps the pod of
 * a worker below its memory limit with more shards in flight.
 */
const HEAP_GROWTH_PERCENT = 20

function isWork([name = '-', ...rest]: readonly string[]): boolean {
  const isHelp = name === 'help' || rest.some(arg => arg === '--help' || arg === '-h')
  return !name.startsWith('-') && !isHelp && !DAEMONS.has(name)
}

/** Under `sudo`, HOME may be that of another user. */
function isOwn(folder: string): boolean {
  try {
    return statSync(folder).uid === process.getuid?.()
  } catch {
    return false
  }
}

// `reembed … | head -1` closes the pipe early. That ends the output, not the work: a run continues,
// and the exit code is unchanged.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', error => {
    if (!('code' in error) || error.code !== 'EPIPE') throw error
  })
}

if (isWork(process.argv.slice(2))) steps.show('reembed: starting')
// Before the cache is opened: V8 rejects code that was compiled under other flags.
if (process.argv[2] === 'worker') setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`)
// Not the default of Node: in the folder for temporary files another user could put code.
const { XDG_CACHE_HOME = '', HOME = '' } = process.env
const [own, cache] = XDG_CACHE_HOME.startsWith('/')
  ? [XDG_CACHE_HOME, XDG_CACHE_HOME]
  : [HOME, `${HOME}/.cache`]
if (cache.startsWith('/') && isOwn(own)) enableCompileCache(`${cache}/reembed/code`)
{
  const isTraced = Object.keys(process.env).some(name => name.startsWith('OTEL_'))
  await using _ = isTraced ? await (await import('./traces.ts')).openTraces(process.env) : undefined
  process.exitCode = await (await import('./command.ts')).runCommand(process.argv)
}
// A request to a server that never answers may delay the exit by 500 ms.
setTimeout(() => process.exit(), 500).unref()
