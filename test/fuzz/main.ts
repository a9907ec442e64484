// Fuzzes what reads bytes from outside.
//
//   npm run fuzz                            the list of targets
//   npm run fuzz -- <target> ...            10 minutes each
//   npm run fuzz -- all --seconds 60        one after the other
//
// What is found, and what leads on, is kept in test/.cache/fuzz/<target>; --seed makes a run start
// as another one did. Each target has a process of its own, which is ended when one input takes a
// minute of CPU time.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { bundleTarget } from './bundle.ts'
import { createSignals, explore, type Found, type Progress } from './explore.ts'
import type { Target } from './target.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const KEPT = fileURLToPath(new URL('../.cache/fuzz/', import.meta.url))
const HANG_CPU_MS = 60_000
const PROGRESS_MS = 30_000

export const targetFile = (name: string): string => join(HERE, 'targets', `${name}.ts`)

export async function targetNames(): Promise<string[]> {
  const files = await readdir(join(HERE, 'targets'))
  return files
    .filter(file => file.endsWith('.ts'))
    .map(file => file.slice(0, -3))
    .sort()
}

const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const idOf = (input: Uint8Array): string => createHash('sha256').update(input).digest('hex').slice(0, 16)

/** In a process of its own: fuzzes one target. */
async function fuzz(name: string, seconds: number, seed: number): Promise<void> {
  const folder = join(KEPT, name)
  for (const part of ['corpus', 'found']) mkdirSync(join(folder, part), { recursive: true })
  const outfile = join(folder, 'target.mjs')
  const branches = await bundleTarget(targetFile(name), outfile)
  const signals = createSignals(branches)
  ;(globalThis as { __fuzz?: unknown }).__fuzz = signals
  const { target } = (await import(pathToFileURL(outfile).href)) as { target: Target }

  const tried = openSync(join(folder, 'tried'), 'w')
  const ticks = new BigInt64Array(new SharedArrayBuffer(8))
  const watch = new Worker(fileURLToPath(import.meta.url), { workerData: ticks })
  watch.unref()
  const corpus: Buffer[] = []
  for (const file of (await readdir(join(folder, 'corpus'))).sort())
    corpus.push(await readFile(join(folder, 'corpus', file)))

  const started = performance.now()
  let shown = started
  const line = ({ executions, edges, features, corpus, found }: Progress): string => {
    const { user, system } = process.cpuUsage()
    const s = (performance.now() - started) / 1000
    return `${name}: ${s.toFixed(0)} s (${((user + system) / 1e6).toFixed(0)} s of CPU), ${executions} inputs, ${edges} of ${branches} branches, ${features} features, ${corpus} kept, ${found} found, ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`
  }
  const done = await explore(target, signals, {
    seed,
    corpus,
    onTry(input) {
      ticks[0] = (ticks[0] ?? 0n) + 1n
      writeSync(tried, input, 0, input.length, 0)
      ftruncateSync(tried, input.length)
    },
    onKept: input => writeFileSync(join(folder, 'corpus', idOf(input)), input),
    onFound: found => keep(folder, found),
    onProgress(progress) {
      if (performance.now() - shown < PROGRESS_MS) return
      shown = performance.now()
      say(line(progress))
    },
    enough: () => performance.now() - started > seconds * 1000,
  })
  closeSync(tried)
  say(`${line(done)} - seed ${seed}`)
  process.exit(done.found > 0 ? 1 : 0)
}

function keep(folder: string, { name, error, input }: Found): void {
  const file = join(folder, 'found', idOf(Buffer.from(name)))
  writeFileSync(file, input)
  const stack = error instanceof Error ? error.stack : String(error)
  writeFileSync(
    `${file}.txt`,
    `${name}\n${stack}\n${JSON.stringify(input.toString('latin1').slice(0, 2_000))}\n`,
  )
  say(`FOUND ${name}\n      ${input.length} bytes in ${file}`)
}

/** In a thread beside it: ends the process when one input takes too long. */
function watchOver(ticks: BigInt64Array): void {
  let [seen, since] = [ticks[0], 0]
  setInterval(() => {
    const { user, system } = process.cpuUsage()
    const ms = (user + system) / 1000
    if (ticks[0] !== seen) [seen, since] = [ticks[0], ms]
    else if (since > 0 && ms - since > HANG_CPU_MS) process.kill(process.pid, 'SIGKILL')
  }, 1_000)
}

/** Runs one target in a process; an input that ends the process is found, too. */
async function inProcess(name: string, seconds: number, seed: number): Promise<boolean> {
  const flags = ['--conditions=@reembed/source', '--max-old-space-size=1024', '--stack-trace-limit=5']
  const args = [...flags, fileURLToPath(import.meta.url), '--one', name, String(seconds), String(seed)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  await once(child, 'close')
  if (child.exitCode === 0 || child.exitCode === 1) return child.exitCode === 0
  const folder = join(KEPT, name)
  const input = await readFile(join(folder, 'tried'))
  await mkdir(join(folder, 'found'), { recursive: true })
  const file = join(folder, 'found', `ended-${idOf(input)}`)
  await writeFile(file, input)
  say(
    `FOUND ${name} ended with ${child.exitCode ?? child.signalCode}\n      ${input.length} bytes in ${file}`,
  )
  return false
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '600' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    },
  })
  const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
  const names = await targetNames()
  const wanted = positionals.includes('all') ? names : positionals
  const unknown = wanted.find(name => !names.includes(name))
  if (wanted.length === 0 || unknown !== undefined) {
    if (unknown !== undefined) say(`there is no target '${unknown}'`)
    for (const name of names) say(`  ${name}`)
    say('npm run fuzz -- <target> ... | all  [--seconds 600] [--seed n]')
    process.exitCode = unknown === undefined ? 0 : 2
    return
  }
  for (const name of wanted) if (!(await inProcess(name, seconds, seed))) process.exitCode = 1
}

if (!isMainThread) watchOver(workerData as BigInt64Array)
else if (process.argv[2] === '--one') {
  await fuzz(process.argv[3] ?? '', Number(process.argv[4]), Number(process.argv[5]))
} else if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
