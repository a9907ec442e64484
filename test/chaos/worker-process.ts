// A worker process that faults can hit, and the state of its jobs as read from its log.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export interface WorkerProcess {
  /** Counts all processes of a fleet. */
  readonly number: number
  readonly child: ChildProcess
  /** Takes jobs by now. */
  readonly started: boolean
  readonly frozen: boolean
  /** Shards that it has taken and not ended. */
  readonly held: ReadonlySet<number>
  readonly ended: Promise<Exit>
  freeze(): void
  thaw(): void
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** What a worker says in its log; `atMs` is its own time of day, put right. */
export interface LogEvent {
  readonly worker: WorkerProcess
  readonly atMs: number
  readonly what:
    | 'worker_started'
    | 'job_started'
    | 'finished'
    | 'requeued'
    | 'put_off'
    | 'stalled'
    /** By us. */
    | 'told_to_end'
    | 'other'
  readonly shard: number | undefined
  readonly signal?: 'SIGKILL' | 'SIGTERM'
  readonly line: string
}

const EVENTS: Readonly<Record<string, LogEvent['what']>> = {
  'worker started': 'worker_started',
  'job started': 'job_started',
  'shard finished': 'finished',
  'shard exists already': 'finished',
  'job requeued': 'requeued',
  'job of a lost worker requeued': 'stalled',
}

export function startWorkerProcess(
  number: number,
  {
    command,
    env,
    clockMs,
  }: {
    readonly command: readonly string[]
    readonly env: Readonly<Record<string, string>>
    readonly clockMs: number
  },
  onEvent: (event: LogEvent) => void,
): WorkerProcess {
  const child = spawn(process.execPath, command, {
    env: { ...process.env, ...env, REEMBED_LOG: 'debug' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const held = new Set<number>()
  let started = false
  let frozen = false
  const ended = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  const worker: WorkerProcess = {
    number,
    child,
    get started() {
      return started
    },
    get frozen() {
      return frozen
    },
    held,
    ended,
    freeze() {
      frozen = child.kill('SIGSTOP')
    },
    thaw() {
      frozen = false
      child.kill('SIGCONT')
    },
  }
  // stdio says that stderr is a pipe.
  createInterface({ input: child.stderr as Readable }).on('line', line => {
    const { time, msg = line, shard } = parse(line)
    const what = EVENTS[msg] ?? (/^job (?:failed|delayed)/.test(msg) ? 'put_off' : 'other')
    if (what === 'worker_started') started = true
    if (shard !== undefined && what === 'job_started') held.add(shard)
    else if (shard !== undefined && what !== 'other') held.delete(shard)
    onEvent({ worker, atMs: time === undefined ? Date.now() : Date.parse(time) - clockMs, what, shard, line })
  })
  return worker
}

function parse(line: string): { time?: string; msg?: string; shard?: number } {
  try {
    return JSON.parse(line)
  } catch {
    // A stack trace, or the last line of a process that was killed while it wrote.
    return {}
  }
}
