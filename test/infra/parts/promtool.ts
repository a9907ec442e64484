// promtool, which evaluates the rules of alerts. No npm package provides it. It is the one on PATH,
// or is built once from its Go module, into the cache folder of the user: `npm run promtool`.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { onPath } from './tools.ts'

const VERSION = 'v0.316.0'
const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'reembed', `promtool-${VERSION}`)
const built = join(folder, 'promtool')

/** The program; undefined where it is neither installed nor built. */
export const promtool: string | undefined = onPath('promtool')
  ? 'promtool'
  : existsSync(built)
    ? built
    : undefined

/** Why the rules cannot be evaluated here; undefined if they can. */
export const noPromtool: string | undefined =
  promtool === undefined
    ? `no promtool: ${onPath('go') ? 'run `npm run promtool`' : 'PATH has neither promtool nor go'}`
    : undefined

/** Builds promtool, with the only discovery of targets that our configuration uses. */
export async function buildPromtool(): Promise<string> {
  await mkdir(folder, { recursive: true })
  await promisify(execFile)(
    'go',
    [
      ...['install', '-trimpath', '-tags', 'remove_all_sd,enable_dns_sd', '-ldflags', '-s -w'],
      `github.com/prometheus/prometheus/cmd/promtool@${VERSION}`,
    ],
    { cwd: '/', env: { ...process.env, CGO_ENABLED: '0', GOBIN: folder }, maxBuffer: 1 << 28 },
  )
  return built
}
