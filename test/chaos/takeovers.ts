// How long work lies that a worker gives up. Told to leave, it may finish what it has for its drain
// time; what is left then is to be back on the queue soon. Killed, its jobs are found when their
// locks have run out. Either way a worker with a free slot for a job is to take it at once.

import type { Return } from './returns.ts'
import type { LogEvent, WorkerProcess } from './worker-process.ts'

/** All in ms. */
export interface Takeover {
  readonly signal: 'SIGKILL' | 'SIGTERM'
  /** From the kill, or from the end of the drain time, until the job waits on the queue. */
  readonly back: number
  /** From there until another worker has it. */
  readonly taken: number
  /** The part of `taken` in which another worker had a place for it. */
  readonly free: number
}

export interface TakeoverOptions {
  /** Jobs that a worker takes at once. */
  readonly concurrency: number
  readonly drainMs: (worker: WorkerProcess) => number
}

/**
 * The takeovers of all jobs that a worker held when it received the request to end, that returned
 * to the queue and that a worker took again.
 */
export function takeoversOf(
  events: readonly LogEvent[],
  returns: readonly Return[],
  { concurrency, drainMs }: TakeoverOptions,
): Takeover[] {
  const ordered = events.toSorted((a, b) => a.atMs - b.atMs)
  const held = new Map<WorkerProcess, Set<number>>()
  const places: Places[] = []
  const takeovers: Takeover[] = []
  const givenUp: { worker: WorkerProcess; shard: number; signal: Takeover['signal']; atMs: number }[] = []

  for (const { what, worker, shard, atMs, signal } of ordered) {
    if (what === 'worker_started') held.set(worker, new Set())
    else if (what === 'told_to_end') {
      const inMs = signal === 'SIGTERM' ? drainMs(worker) : 0
      for (const each of held.get(worker) ?? []) {
        givenUp.push({ worker, shard: each, signal: signal ?? 'SIGKILL', atMs: atMs + inMs })
      }
      held.delete(worker)
    } else if (shard !== undefined && what === 'job_started') held.get(worker)?.add(shard)
    else if (shard !== undefined) held.get(worker)?.delete(shard)
    places.push({
      fromMs: atMs,
      free: [...held.values()].reduce((sum, jobs) => sum + concurrency - jobs.size, 0),
    })
  }

  for (const { worker, shard, signal, atMs } of givenUp) {
    const back = returns.find(each => each.shard === shard && each.atMs >= atMs)
    if (back === undefined) continue
    const taken = ordered.find(
      each =>
        each.what === 'job_started' &&
        each.shard === shard &&
        each.worker !== worker &&
        each.atMs >= back.atMs,
    )
    if (taken === undefined) continue
    takeovers.push({
      signal,
      back: back.atMs - atMs,
      taken: taken.atMs - back.atMs,
      free: timeWithPlace(places, back.atMs, taken.atMs),
    })
  }
  return takeovers
}

/** Places for jobs at all workers that take some, until the next of these. */
interface Places {
  readonly fromMs: number
  readonly free: number
}

function timeWithPlace(places: readonly Places[], startMs: number, endMs: number): number {
  let ms = 0
  for (const [i, { fromMs, free }] of places.entries()) {
    const untilMs = places[i + 1]?.fromMs ?? endMs
    if (free > 0) ms += Math.max(0, Math.min(endMs, untilMs) - Math.max(startMs, fromMs))
  }
  return ms
}
