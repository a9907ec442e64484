// A simulated queue. The protocol relies on one guarantee of BullMQ only: at-least-once delivery. A
// job id exists once, a lock can be lost while its worker continues, all data can disappear between
// two turns, and failed jobs stay until they are removed.

import {
  type Disposition,
  type FailedJob,
  type Job,
  jobId,
  type Observations,
  type Queue,
  type RunPointer,
  runKey,
  servesOutput,
} from '@reembed/queue'
import { SLOW } from './store.ts'
import type { Process, World } from './world.ts'

interface Held {
  readonly job: Job
  state: 'waiting' | 'active' | 'delayed' | 'failed'
  attempts: number
  holder: Lock | undefined
  reason: string
  /** Observed faults, as in the progress of the job. */
  observations: Observations
}

/** A taken job. */
export interface Lock {
  readonly id: string
  readonly job: Job
  readonly process: Process
  readonly lost: AbortController
  /** Earlier observations of a fault of the job. */
  readonly observations: Observations
}

export interface SimulatedQueue {
  /** The producer's side, for one process. */
  open(process: Process): Queue
  /** Waits for a job of one of `outputs`. */
  take(process: Process, outputs: readonly string[]): Promise<Lock>
  /** Another team enqueues the same run in an output of its own, which no worker here serves. */
  addElsewhere(run: string): void
  /** Jobs of the other team that a worker here has taken. */
  readonly takenElsewhere: readonly Job[]
  /** Ends a job with the worker's result if that worker still holds the lock. */
  end(lock: Lock, disposition: Disposition | { readonly do: 'done' }, reason?: string): Promise<void>
  /** Redis emptied. */
  wipe(): void
  /**
   * Expires locks: other workers can take the jobs, and the worker that lost a lock may or may not
   * notice.
   */
  expire(process: Process, told: boolean): void
  readonly jobs: readonly Job[]
  /** Jobs that no worker has failed. */
  readonly pending: readonly Job[]
  /** Whether jobs of a run failed permanently, so that only an operator can enqueue them again. */
  failed(run: string): boolean
}

const ATTEMPTS = 5
/** Of queue.ts: the delay of a job that is kept under a finalize lease. */
const RECHECK_MS = 30_000
/** Turns per simulated millisecond of a delayed job. */
const TURNS_PER_MS = 1 / 1_000
const ENDING_TURNS = 100
/** The output of another team on the same Redis. */
const ELSEWHERE = 'sim://elsewhere'
const SHARDS_ELSEWHERE = 3

const isOf = (job: Job, of: RunPointer): boolean => runKey(job) === runKey(of)

const newlyHeld = (job: Job): Held => ({
  job,
  state: 'waiting',
  attempts: 0,
  holder: undefined,
  reason: '',
  observations: { count: 0, by: [] },
})

/** @param onFailureLost called when a failed job is removed, and no operator has asked for it */
export function createQueue(world: World, onFailureLost: (job: Job) => void): SimulatedQueue {
  const held = new Map<string, Held>()
  /**
   * Expiry of each run's finalize lease. Leases are not renewed, so a second worker may get one
   * before the first is done.
   */
  const ending = new Map<string, number>()
  /** Redis may not answer; the lease then counts as free. */
  const isEnding = (run: string): boolean => (ending.get(run) ?? 0) > world.now && world.chance(0.5)
  const redis: Process = { name: 'redis', alive: true, stoppedUntil: 0 }
  /**
   * Workers that wait for a job, as the blocking read of Redis does: they take no turns meanwhile.
   */
  const idle: (() => void)[] = []
  /** Makes the job available. Wakes all waiting workers, because some of them may be dead. */
  function offer(job: Held): void {
    job.state = 'waiting'
    for (const wake of idle.splice(0)) wake()
  }

  async function postpone(job: Held, ms: number): Promise<void> {
    job.state = 'delayed'
    await world.turn(redis, Math.ceil(ms * TURNS_PER_MS))
    if (job.state === 'delayed' && held.get(jobId(job.job)) === job) offer(job)
  }

  /** Adds the job of a finished shard, delayed, for as long as a finalize lease is held. */
  function keep({ output, run, shard }: Job): void {
    const id = jobId({ output, run, shard })
    if (held.has(id)) return
    const kept = newlyHeld({ output, run, shard })
    held.set(id, kept)
    void postpone(kept, RECHECK_MS)
  }

  const takenElsewhere: Job[] = []

  return {
    takenElsewhere,
    addElsewhere(run) {
      for (let shard = 0; shard < SHARDS_ELSEWHERE; shard += 1) {
        const job = { output: ELSEWHERE, run, shard }
        const id = jobId(job)
        if (!held.has(id)) held.set(id, newlyHeld(job))
      }
    },
    get jobs() {
      return [...held.values()].map(({ job }) => job)
    },
    get pending() {
      return [...held.values()].filter(({ state }) => state !== 'failed').map(({ job }) => job)
    },
    open: process => ({
      async add(jobs) {
        // Jobs are added one by one, so that a crash can lose some of them.
        let added = 0
        for (const job of jobs) {
          await world.turn(process)
          const id = jobId(job)
          if (held.has(id)) continue
          added += 1
          const { output, run, shard } = job
          const fresh = newlyHeld({ output, run, shard })
          held.set(id, fresh)
          offer(fresh)
        }
        return added
      },
      // Workers put no lost job back here, so no sweep waits for them.
      settle: async () => false,
      async counts(of) {
        await world.turn(process)
        const count = (state: Held['state']): number =>
          [...held.values()].filter(each => each.state === state && (!of || isOf(each.job, of))).length
        return {
          waiting: count('waiting'),
          active: count('active'),
          delayed: count('delayed'),
          failed: count('failed'),
        }
      },
      async failures(of): Promise<FailedJob[]> {
        await world.turn(process)
        return [...held.values()]
          .filter(({ job, state }) => state === 'failed' && isOf(job, of))
          .map(({ job, reason }) => ({ ...job, reason }))
      },
      async removeFailed(of) {
        await world.turn(process)
        const failed = [...held].filter(([, { job, state }]) => state === 'failed' && isOf(job, of))
        for (const [id] of failed) held.delete(id)
        return failed.length
      },
      planning: async () => [],
      isFinalizing: async of => isEnding(runKey(of)),
      async failedShards(of) {
        await world.turn(process)
        const failed = [...held.values()].filter(({ job, state }) => state === 'failed' && isOf(job, of))
        return new Set(failed.map(({ job }) => job.shard))
      },
      async withFinalizeLease(of, work, kept) {
        const run = runKey(of)
        if (isEnding(run)) return undefined
        ending.set(run, world.now + ENDING_TURNS)
        if (kept !== undefined) keep(kept)
        const ended = await work()
        ending.delete(run)
        if (kept !== undefined) {
          await world.turn(process)
          const job = held.get(jobId(kept))
          if (job?.state === 'failed') onFailureLost(kept)
          // BullMQ removes no job whose lock a worker holds.
          if (job?.state !== 'active') held.delete(jobId(kept))
        }
        return ended
      },
      progress: () => Promise.reject(new Error('nothing is decided by progress')),
      workers: () => Promise.reject(new Error('nothing is decided by the list of workers')),
      async [Symbol.asyncDispose]() {},
    }),
    async take(process, outputs) {
      let next: [string, Held] | undefined
      while (next === undefined) {
        await world.turn(process)
        next = [...held].find(
          ([, { state, job }]) => state === 'waiting' && servesOutput(outputs, job.output),
        )
        if (next === undefined) await new Promise<void>(resolve => idle.push(resolve))
      }
      const [id, job] = next
      const { observations } = job
      const lock: Lock = { id, job: job.job, process, lost: new AbortController(), observations }
      job.state = 'active'
      job.holder = lock
      if (job.job.output === ELSEWHERE) takenElsewhere.push(job.job)
      // A delayed job returns to the end of the queue.
      held.delete(id)
      held.set(id, job)
      if (world.chance(SLOW)) await world.turn(process)
      return lock
    },
    async end({ id, process, ...lock }, disposition, reason = '') {
      await world.turn(process)
      const job = held.get(id)
      if (job?.holder?.lost !== lock.lost) return
      job.holder = undefined
      if (disposition.do === 'done') {
        held.delete(id)
        return
      }
      job.reason = reason
      if (disposition.do === 'retry') job.attempts += 1
      if (disposition.do === 'delay') {
        job.observations = disposition.observations ?? job.observations
        void postpone(job, disposition.delayMs)
      } else if (disposition.do === 'fail' || job.attempts >= ATTEMPTS) {
        job.state = 'failed'
      } else offer(job)
    },
    failed: run => [...held.values()].some(({ job, state }) => job.run === run && state === 'failed'),
    wipe() {
      held.clear()
      ending.clear()
    },
    expire(process, told) {
      for (const job of held.values()) {
        if (job.state !== 'active' || job.holder?.process !== process) continue
        if (told) job.holder.lost.abort(new Error('the lock was lost'))
        job.holder = undefined
        offer(job)
      }
    },
  }
}
