// Tries each limit of packages/shared/src/limits.ts, and what is too large to be held, each in a
// process of its own, and prints what answered and how much memory it took.
//
//   npm run caps                      all, in their full size: some minutes
//   npm run caps -- --short           the same, smaller
//   npm run caps -- --limits          the limits alone: two minutes
//   npm run caps -- line jobBytes     some of them

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LIMITS, type Limits } from '@reembed/shared'
import { CAPS } from './caps.ts'
import { type BoundCase, CASES } from './cases.ts'

export interface Bounded {
  readonly outcome: string
  readonly peakMiB: number
  readonly seconds: number
}

/** Runs one case in a process of its own, on what another process made for it. */
export async function bounded(name: string, size: number): Promise<Bounded> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-caps-'))
  try {
    const { made } = caseOf(name)
    const path = join(folder, made?.file ?? '')
    if (made) await inChild('--make', name, size, path)
    return JSON.parse(await inChild('--in-process', name, size, path))
  } finally {
    await rm(folder, { recursive: true })
  }
}

function caseOf(name: string): BoundCase {
  const found = CASES.find(one => one.name === name)
  if (found) return found
  throw new Error(`no case '${name}': there are ${CASES.map(one => one.name).join(', ')}`)
}

async function inChild(what: string, name: string, size: number, path: string): Promise<string> {
  const main = fileURLToPath(import.meta.url)
  // As `reembed worker` sets it: garbage may not grow to several times what is in use.
  const flags = ['--conditions=@reembed/source', '--heap-growing-percent=20', '--max-semi-space-size=8']
  const args = [...flags, main, what, name, String(size), path]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  await once(child, 'close')
  if (printed === '')
    throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode} without a result`)
  return printed
}

async function inProcess(name: string, size: number, path: string): Promise<void> {
  const started = performance.now()
  const outcome = await caseOf(name).run(size, path)
  const seconds = (performance.now() - started) / 1000
  const bounded: Bounded = { outcome, seconds, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) }
  process.stdout.write(JSON.stringify(bounded))
}

async function make(name: string, size: number, path: string): Promise<void> {
  await caseOf(name).made?.write(path, size)
  process.stdout.write('made')
}

/** Tries one limit in a process of its own. */
export async function triedCap(name: keyof Limits): Promise<Tried> {
  return JSON.parse(await inChild('--cap', name, 0, ''))
}

export interface Tried {
  readonly outcomes: readonly string[]
  readonly peakMiB: number
}

async function tryCap(name: string): Promise<void> {
  const cap = CAPS[name as keyof Limits]
  const outcomes = 'run' in cap ? await cap.run() : []
  const tried: Tried = { outcomes, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) }
  process.stdout.write(JSON.stringify(tried))
}

/** What of the outcomes or of the memory is not as it must be; '' if all is. */
export function wrongOf(name: keyof Limits, { outcomes, peakMiB }: Tried): string {
  const cap = CAPS[name]
  if (!('run' in cap)) return ''
  const bad = cap.outcomes.findIndex((pattern, i) => !pattern.test(outcomes[i] ?? ''))
  if (bad >= 0) return `answered ${JSON.stringify(outcomes[bad])}, expected ${cap.outcomes[bad]}`
  return peakMiB > cap.most ? `took ${peakMiB} MiB of ${cap.most}` : ''
}

async function allCaps(names: readonly string[]): Promise<void> {
  for (const name of Object.keys(LIMITS) as (keyof Limits)[]) {
    if (names.length > 0 && !names.includes(name)) continue
    const cap = CAPS[name]
    const limit = `${name} ${LIMITS[name].toLocaleString('en')}`
    if ('cases' in cap) {
      process.stdout.write(`case ${limit}: ${cap.cases.join(', ')} below\n`)
    } else {
      const tried = await triedCap(name)
      const wrong = wrongOf(name, tried)
      if (wrong !== '') process.exitCode = 1
      const answers = tried.outcomes.map(outcome => `     ${outcome.slice(0, 150)}\n`).join('')
      process.stdout.write(
        `${wrong === '' ? 'ok  ' : 'BAD '} ${limit}: ${cap.what}\n     ${wrong || `${tried.peakMiB} MiB of ${cap.most}`}\n${answers}`,
      )
    }
  }
}

async function all(names: readonly string[], short: boolean): Promise<void> {
  for (const one of CASES) {
    if (names.length > 0 && !names.includes(one.name)) continue
    const { outcome, peakMiB, seconds } = await bounded(one.name, short ? one.short : one.size)
    const good = peakMiB <= one.most && one.outcome.test(outcome)
    if (!good) process.exitCode = 1
    process.stdout.write(
      `${good ? 'ok  ' : 'BAD '} ${one.what}${short ? ' (smaller)' : ''}\n     ${peakMiB} MiB of ${one.most}, ${seconds.toFixed(1)} s: ${outcome}\n`,
    )
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2)
  const [what, name = '', size, path = ''] = args
  if (what === '--in-process') await inProcess(name, Number(size), path)
  else if (what === '--make') await make(name, Number(size), path)
  else if (what === '--cap') await tryCap(name)
  else {
    const names = args.filter(arg => !arg.startsWith('--'))
    await allCaps(names)
    if (!args.includes('--limits')) await all(names, args.includes('--short'))
  }
}
