// Runs the `reembed` command as a process of its own, bundled as it ships (bundle.ts), with nothing
// of the surrounding environment that could answer in its place.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly finished: Promise<Finished>
  /**
   * Resolves with the first line of stderr that fits, rejects when the process ends without one.
   */
  line(pattern: RegExp): Promise<string>
}

/** The command from source: for tests that observe which modules it loads. */
export const SOURCE: string = fileURLToPath(new URL('../../packages/reembed/src/main.ts', import.meta.url))
const COMMAND = process.env.REEMBED_TEST_COMMAND ?? SOURCE
/** A port that refuses connections: no test reaches the Hub. */
export const NO_HUB = 'http://127.0.0.1:9'

const OURS = /^(REEMBED_|AWS_|HF_|OTEL_|REDIS_URL|NO_COLOR|FORCE_COLOR|NODE_OPTIONS|VITEST)/

export function start(
  args: readonly string[],
  env: Record<string, string> = {},
  cwd?: string,
  command: string = COMMAND,
): Running {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name)))
  const child = spawn(process.execPath, ['--conditions=@reembed/source', command, ...args], {
    env: { ...clean, HF_ENDPOINT: NO_HUB, ...env },
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  const waiting = new Set<() => void>()
  child.stdout.on('data', data => {
    stdout += data
  })
  child.stderr.on('data', data => {
    stderr += data
    for (const look of waiting) look()
  })
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return {
    child,
    finished,
    line(pattern) {
      const found = Promise.withResolvers<string>()
      const look = (): void => {
        const line = stderr.split('\n').find(one => pattern.test(one))
        if (line !== undefined) found.resolve(line)
      }
      waiting.add(look)
      look()
      finished.then(
        () => found.reject(new Error(`no line like ${pattern} in:\n${stderr}`)),
        error => found.reject(error),
      )
      return found.promise.finally(() => waiting.delete(look))
    },
  }
}

/** Runs the command to its end. */
export const reembed = (
  args: readonly string[],
  env?: Record<string, string>,
  cwd?: string,
): Promise<Finished> => start(args, env, cwd).finished

/** `--name value` for each: `flags({ source, redis: redis.url })`. */
export const flags = (values: Readonly<Record<string, string>>): string[] =>
  Object.entries(values).flatMap(([name, value]) => [`--${name}`, value])

/** A folder of its own for a test, gone afterwards. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'reembed-test-'))
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

/** Writes documents as JSONL and returns the path. */
export async function writeJsonl(path: string, documents: Iterable<object>): Promise<string> {
  await writeFile(path, Array.from(documents, document => `${JSON.stringify(document)}\n`).join(''))
  return path
}

/** `count` documents with different texts: {id: 'd0', text: ...}. */
export const documents = (count: number): { id: string; text: string }[] =>
  Array.from({ length: count }, (_, i) => ({ id: `d${i}`, text: `document ${i} speaks of topic ${i % 97}` }))
