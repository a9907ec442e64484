// A simulated queue with BullMQ's semantics as far as the protocol may rely on them, which is little: at least once.
// A job id is held once; a lock can be lost while its worker works on; everything may be gone from one turn to the
// next; failed jobs stay until they are forgotten.

import { type FailedJob, type Job, jobId, type Queue, type Verdict } from '@reembed/shared'
import type { Process, World } from './world.ts'

interface Held {
  readonly job: Job
  state: 'waiting' | 'active' | 'delayed' | 'failed'
  attempts: number
  readyAt: number
  holder: Lock | undefined
  reason: string
}

/** A taken job. */
export interface Lock {
  readonly id: string
  readonly job: Job
  readonly process: Process
  readonly lost: AbortController
}

export interface SimulatedQueue {
  /** The producer's side, for one process. */
  open(process: Process): Queue
  take(process: Process): Promise<Lock | undefined>
  /** Ends a job as its worker says, if the lock is still its own. */
  end(lock: Lock, verdict: Verdict | { readonly do: 'done' }, reason?: string): Promise<void>
  /** Redis emptied. */
  wipe(): void
  /** Locks that were not renewed: the jobs can be taken again, the worker may or may not hear of it. */
  expire(process: Process, told: boolean): void
  readonly jobs: readonly Job[]
  /** Whether jobs of a run were set aside, which only a person can mend. */
  failed(run: string): boolean
}

const ATTEMPTS = 5
/** Turns per simulated millisecond of a postponed job. */
const TURNS_PER_MS = 1 / 500
const ENDING_TURNS = 100

export function createQueue(world: World): SimulatedQueue {
  const held = new Map<string, Held>()
  /** Until when a run is somebody's to end; nobody renews it, so it may be another's before the first is through. */
  const ending = new Map<string, number>()
  const count = (state: Held['state']): number =>
    [...held.values()].filter(each => each.state === state).length

  function wake(): void {
    for (const each of held.values()) {
      if (each.state === 'delayed' && each.readyAt <= world.now) each.state = 'waiting'
    }
  }

  return {
    get jobs() {
      return [...held.values()].map(({ job }) => job)
    },
    open: process => ({
      async add(jobs) {
        // Jobs go in one by one, so that a crash may leave some of them out.
        for (const job of jobs) {
          await world.turn(process)
          const id = jobId(job.run, job.shard)
          if (held.has(id)) continue
          const { output, run, shard } = job
          held.set(id, {
            job: { output, run, shard },
            state: 'waiting',
            attempts: 0,
            readyAt: 0,
            holder: undefined,
            reason: '',
          })
        }
      },
      async counts() {
        await world.turn(process)
        return {
          waiting: count('waiting'),
          active: count('active'),
          delayed: count('delayed'),
          failed: count('failed'),
        }
      },
      async failures(run): Promise<FailedJob[]> {
        await world.turn(process)
        return [...held.values()]
          .filter(({ job, state }) => state === 'failed' && job.run === run)
          .map(({ job, reason }) => ({ run, shard: job.shard, reason }))
      },
      async forgetFailures(run) {
        await world.turn(process)
        const failed = [...held].filter(([, { job, state }]) => state === 'failed' && job.run === run)
        for (const [id] of failed) held.delete(id)
        return failed.length
      },
      async isEnding(run) {
        await world.turn(process)
        return (ending.get(run) ?? 0) > world.now
      },
      async endAlone(job, end) {
        await world.turn(process)
        if ((ending.get(job.run) ?? 0) > world.now) return undefined
        ending.set(job.run, world.now + ENDING_TURNS)
        const ended = await end()
        await world.turn(process)
        ending.delete(job.run)
        return ended
      },
      progress: () => Promise.reject(new Error('nothing is decided by progress')),
      workers: () => Promise.reject(new Error('nothing is decided by the list of workers')),
      async [Symbol.asyncDispose]() {},
    }),
    async take(process) {
      await world.turn(process)
      wake()
      const next = [...held].find(([, { state }]) => state === 'waiting')
      if (next === undefined) return undefined
      const [id, job] = next
      const lock: Lock = { id, job: job.job, process, lost: new AbortController() }
      job.state = 'active'
      job.holder = lock
      // Behind the others when it comes back.
      held.delete(id)
      held.set(id, job)
      await world.turn(process)
      return lock
    },
    async end({ id, process, ...lock }, verdict, reason = '') {
      await world.turn(process)
      const job = held.get(id)
      if (job?.holder?.lost !== lock.lost) return
      job.holder = undefined
      if (verdict.do === 'done') {
        held.delete(id)
        return
      }
      job.state = 'waiting'
      if (verdict.do === 'postpone') {
        job.state = 'delayed'
        job.readyAt = world.now + Math.ceil(verdict.ms * TURNS_PER_MS)
      }
      if (verdict.do === 'retry') job.attempts += 1
      if (verdict.do === 'fail' || job.attempts >= ATTEMPTS) job.state = 'failed'
      job.reason = reason
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
        job.state = 'waiting'
        job.holder = undefined
      }
    },
  }
}
