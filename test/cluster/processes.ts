// Programs that run in the background until they are stopped, each with a log file.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'

export interface Program extends AsyncDisposable {
  readonly child: ChildProcess
}

/** Starts a program. Disposing it sends SIGTERM, and after 5 s SIGKILL. */
export async function startProgram(
  path: string,
  args: readonly string[],
  log: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Program> {
  const output = createWriteStream(log)
  await once(output, 'open')
  // The kernel ends the program with this process, however that ends.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', path, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', output, output],
  })
  output.close()
  const exited = once(child, 'exit')
  await once(child, 'spawn')
  return {
    child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      const late = AbortSignal.timeout(5_000)
      const kill = (): boolean => child.kill('SIGKILL')
      late.addEventListener('abort', kill)
      await exited
      late.removeEventListener('abort', kill)
    },
  }
}

/**
 * Polls `check` until it returns a value that is truthy, and returns it. An error counts as "not
 * yet".
 * @throws after `timeoutMs`, with the last error or the last value
 */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T> | T,
): Promise<T> {
  const deadline = Date.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await check()
      if (value) return value
      last = value
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) {
      throw new Error(`${what}: not after ${timeoutMs} ms`, { cause: last })
    }
    await wait(200)
  }
}

/** The last lines of a log, for an error message. */
export const tailOf = async (log: string, lines = 15): Promise<string> =>
  (await readFile(log, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-lines).join('\n')
