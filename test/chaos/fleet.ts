// The worker processes, always as many as asked for: whichever ends, another one takes its place,
// as a pod would.

import { setTimeout as wait } from 'node:timers/promises'
import { type LogEvent, startWorkerProcess, type WorkerProcess } from './worker-process.ts'

export interface FleetOptions {
  readonly count: number
  readonly env: Readonly<Record<string, string>>
  /** Node's arguments for the n-th process. */
  readonly command: (n: number) => readonly string[]
  /** How far the clock of the n-th process is ahead. */
  readonly clockMs: (n: number) => number
  readonly onLine?: ((worker: number, line: string) => void) | undefined
}

export interface Fleet extends AsyncDisposable {
  readonly workers: readonly WorkerProcess[]
  /**
   * All log entries of the workers about jobs, and when each worker started and got SIGTERM, in
   * order of arrival.
   */
  readonly events: readonly LogEvent[]
  /** Last log lines of processes that exited without a signal. */
  readonly endedAlone: readonly string[]
  /** Sends the signal, and another process takes the place of this one at once. */
  replace(worker: WorkerProcess, signal: 'SIGKILL' | 'SIGTERM'): void
  /** Calls back with each event until told to stop. */
  listen(listener: (event: LogEvent) => void): () => void
}

/** A process that can't start is not started a hundred times a second. */
const AGAIN_MS = 1_000

export function createFleet({ count, env, command, clockMs, onLine }: FleetOptions): Fleet {
  const workers: WorkerProcess[] = []
  const leaving = new Set<WorkerProcess>()
  const events: LogEvent[] = []
  const endedAlone: string[] = []
  const listeners = new Set<(event: LogEvent) => void>()
  const all = new Set<Promise<unknown>>()
  let started = 0
  let closed = false

  function take(event: LogEvent): void {
    if (event.what !== 'other') events.push(event)
    for (const listener of listeners) listener(event)
  }

  function add(): void {
    let lastLine = ''
    const number = started++
    const worker = startWorkerProcess(
      number,
      { command: command(number), env, clockMs: clockMs(number) },
      event => {
        lastLine = event.line
        onLine?.(number, event.line)
        take(event)
      },
    )
    workers.push(worker)
    const ended = worker.ended.then(async ({ code, signal }) => {
      all.delete(ended)
      if (leaving.delete(worker) || closed) return
      endedAlone.push(`exit ${signal ?? code}: ${lastLine}`)
      workers.splice(workers.indexOf(worker), 1)
      await wait(AGAIN_MS)
      if (!closed) add()
    })
    all.add(ended)
  }
  for (let i = 0; i < count; i += 1) add()

  return {
    workers,
    events,
    endedAlone,
    replace(worker, signal) {
      leaving.add(worker)
      worker.child.kill(signal)
      take({ worker, atMs: Date.now(), what: 'told_to_end', shard: undefined, signal, line: '' })
      workers.splice(workers.indexOf(worker), 1)
      add()
    },
    listen(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async [Symbol.asyncDispose]() {
      closed = true
      for (const worker of [...workers, ...leaving]) worker.child.kill('SIGKILL')
      await Promise.all(all)
    },
  }
}
