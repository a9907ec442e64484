// The command as it ships: one bundled file, because it starts in half the CPU time of the sources
// it is made of, and hundreds of worker processes are started here.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const BUNDLER = fileURLToPath(new URL('../../infra/docker/bundle.mjs', import.meta.url))

/**
 * Bundles the sources as they are now into the folder; returns what Node is to be given to run
 * them.
 */
export async function bundleCommand(folder: string): Promise<string[]> {
  const { code, stderr } = await finish([BUNDLER, folder])
  if (code !== 0) throw new Error(`the command could not be bundled:\n${stderr}`)
  return [join(folder, 'reembed.mjs')]
}

/** Runs Node with these arguments to its end. */
export async function finish(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { code, stdout, stderr }
}
