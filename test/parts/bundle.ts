// The command as it ships: one bundled file, because a process of it starts in half the CPU time of
// one from the sources, and tests start hundreds.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const BUNDLER = path('infra/docker/bundle.mjs')
/** Below packages/reembed: from there Node resolves @reembed/local, which the bundle leaves out. */
const FOLDER = path('packages/reembed/.cache')
/** Longer than a run that uses one. */
const KEPT_MS = 7 * 24 * 3_600_000

/**
 * Bundles the sources as they are now; resolves to the file. Its path depends on its content, so
 * several test runs can call it at a time, and a compile cache knows the file again.
 */
export async function bundleCommand(): Promise<string> {
  await mkdir(FOLDER, { recursive: true })
  const fresh = await mkdtemp(join(FOLDER, 'new-'))
  try {
    const bundler = spawn(process.execPath, [BUNDLER, fresh], { stdio: ['ignore', 'ignore', 'pipe'] })
    const [stderr, [code]] = await Promise.all([text(bundler.stderr), once(bundler, 'close')])
    if (code !== 0) throw new Error(`the command could not be bundled:\n${stderr}`)
    const content = await readFile(join(fresh, 'reembed.mjs'))
    const folder = join(FOLDER, createHash('sha256').update(content).digest('hex').slice(0, 16))
    await rename(fresh, folder).catch(error => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
    await utimes(folder, new Date(), new Date())
    return join(folder, 'reembed.mjs')
  } finally {
    await rm(fresh, { recursive: true, force: true })
    await removeOld()
  }
}

async function removeOld(): Promise<void> {
  for (const name of await readdir(FOLDER)) {
    const folder = join(FOLDER, name)
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Infinity }))
    if (mtimeMs < Date.now() - KEPT_MS) await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Set-up of a test run, called by vitest: REEMBED_TEST_COMMAND names the command that tests start.
 * A value from outside is kept, for example the sources, for readable stack traces.
 */
export async function setup(): Promise<void> {
  process.env.REEMBED_TEST_COMMAND ??= await bundleCommand()
}
