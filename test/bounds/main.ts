// Does what is too large to be held, each in a process of its own, and says how much memory it took.
//
//   npm run caps                      all, in their full size: some minutes
//   npm run caps -- --short           the same, smaller
//   npm run caps -- line quote        some of them

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { CASES } from './cases.ts'

export interface Bounded {
  readonly outcome: string
  readonly peakMiB: number
  readonly seconds: number
}

/** Runs one case in a process of its own. */
export async function bounded(name: string, size: number): Promise<Bounded> {
  const main = fileURLToPath(import.meta.url)
  // As `reembed worker` sets it: garbage may not grow to several times what is in use.
  const flags = ['--conditions=@reembed/source', '--heap-growing-percent=20', '--max-semi-space-size=8']
  const args = [...flags, main, '--in-process', name, String(size)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  await once(child, 'close')
  if (printed === '')
    throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode} and said nothing`)
  return JSON.parse(printed)
}

async function inProcess(name: string, size: number): Promise<void> {
  const started = performance.now()
  const found = CASES.find(one => one.name === name)
  const outcome = (await found?.run(size)) ?? ''
  const seconds = (performance.now() - started) / 1000
  const bounded: Bounded = { outcome, seconds, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) }
  process.stdout.write(JSON.stringify(bounded))
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
  if (args[0] === '--in-process') await inProcess(args[1] ?? '', Number(args[2]))
  else
    await all(
      args.filter(arg => !arg.startsWith('--')),
      args.includes('--short'),
    )
}
