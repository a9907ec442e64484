// npm run simulate -- [--seeds N] [--from S] [--seed S] [--mutation NAME] [--threads N]: runs
// histories until one breaks a promise, and says which. A seed that broke is replayed with --seed;
// it takes the same turns again.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { mutate } from './mutations.ts'
import type { History } from './simulate.ts'

interface Share {
  readonly from: number
  readonly count: number
  readonly step: number
  readonly mutation: string | undefined
  /**
   * Not 0: no further seed. Ending a thread from outside in the middle of one can bring the process
   * down.
   */
  readonly stop: Int32Array
}

if (isMainThread) process.exitCode = await explore()
else await take(workerData as Share)

/** Every `step`th seed, each history as a message. */
async function take({ from, count, step, mutation, stop }: Share): Promise<void> {
  if (mutation !== undefined) mutate(mutation)
  // Stack traces of thousands of simulated errors a second cost time. They are recorded only when
  // one seed is replayed.
  if (count > 1) Error.stackTraceLimit = 0
  // Must be loaded after the mutation is installed.
  const { simulate } = await import('./simulate.ts')
  for (let seed = from; seed < from + count && Atomics.load(stop, 0) === 0; seed += step) {
    parentPort?.postMessage(await simulate(seed))
  }
}

async function explore(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '10000' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      mutation: { type: 'string' },
      threads: { type: 'string', default: String(availableParallelism()) },
      'keep-going': { type: 'boolean', default: false },
    },
  })
  const from = Number(values.seed ?? values.from)
  const count = values.seed === undefined ? Number(values.seeds) : 1
  const step = Math.min(count, Number(values.threads))
  const startedMs = performance.now()
  const sums: Record<string, number> = {}
  let [turns, done, broken] = [0, 0, 0]

  const stop = new Int32Array(new SharedArrayBuffer(4))
  // Ctrl-C ends a long exploration with the sum of what it saw.
  process.once('SIGINT', () => Atomics.store(stop, 0, 1))
  const threads = Array.from({ length: step }, (_, i) => {
    const share: Share = { from: from + i, count: count - i, step, mutation: values.mutation, stop }
    return new Worker(new URL(import.meta.url), { workerData: share })
  })
  function take(history: History): void {
    done += 1
    turns += history.turns
    for (const [name, times] of Object.entries(history.counts)) sums[name] = (sums[name] ?? 0) + times
    if (history.broken.length === 0) return
    broken += 1
    process.stdout.write(
      `seed ${history.seed} broke after ${history.turns} turns:\n  ${history.broken.join('\n  ')}\n`,
    )
    if (!values['keep-going']) Atomics.store(stop, 0, 1)
  }
  await Promise.all(
    threads.map(
      thread =>
        new Promise<void>((resolve, reject) => {
          thread.on('message', take)
          thread.once('error', reject)
          thread.once('exit', () => resolve())
        }),
    ),
  )
  const seconds = (performance.now() - startedMs) / 1000
  const events = Object.entries(sums).map(([name, times]) => `${times.toLocaleString('en')} ${name}`)
  process.stdout.write(
    `${done.toLocaleString('en')} seeds in ${seconds.toFixed(1)} s, ${turns.toLocaleString('en')} turns: ${events.join(', ')}; ${broken} broken\n`,
  )
  return broken > 0 ? 1 : 0
}
