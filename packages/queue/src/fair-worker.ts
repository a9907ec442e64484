// BullMQ's worker with another order of jobs: that of ready-jobs.ts. Loaded on demand, because it
// loads BullMQ.

import { type BackendFactory, createRedisBackend, type RedisQueueBackend, Worker } from 'bullmq'
import { PICK } from './ready-jobs.ts'
import type { RedisClock } from './redis-clock.ts'

const PICK_COMMAND = 'reembedPick'
/**
 * The place of the time among the arguments of moveToActive, after its eleven keys and the prefix.
 */
const TIME_ARGUMENT = 12

/**
 * BullMQ's backend, except that it takes only jobs of `outputs`, which are normalised, and those of
 * all runs in turn, but of none in `skipped`, which it reads before each pick; and that delays end
 * by the clock of Redis, not by that of this machine.
 */
export const createFairBackend =
  ({
    outputs,
    skipped,
    clock,
    onRemoved,
  }: {
    readonly outputs: readonly string[]
    readonly skipped: () => readonly string[]
    readonly clock: RedisClock
    /** Called with the id of a job that is too large to be one of reembed. */
    readonly onRemoved: (id: string) => void
  }): BackendFactory<RedisQueueBackend> =>
  (name, options, context) => {
    const backend = createRedisBackend(name, options, context)
    /** BullMQ compares the time at which a delay ends with the clock of this machine. */
    const toLocal = (redisMs: unknown): unknown =>
      Number(redisMs) > 0 ? Number(redisMs) + clock.ahead() : redisMs
    const { moveToDelayed, waitForJob } = backend
    backend.moveToDelayed = (id, _localMs, ...rest) => moveToDelayed.call(backend, id, clock.now(), ...rest)
    backend.waitForJob = async timeout => {
      const marker = await waitForJob.call(backend, timeout)
      return marker && { ...marker, score: Number(toLocal(marker.score)) }
    }
    // BullMQ takes the empty reply to a finished job for an empty queue. Its worker would sleep
    // until the next wake-up, which an idle worker of another output may have taken.
    const { moveToFinished } = backend
    backend.moveToFinished = async (id, args) => {
      const next = await moveToFinished.call(backend, id, args)
      return Array.isArray(next) && next.length === 0 ? NOT_FETCHED : next
    }
    const { keys } = backend
    const own = backend.execCommand.bind(backend)
    const defined = new WeakSet<object>()
    let seen = ''
    backend.execCommand = (client, command, args) =>
      command === 'moveToActive' && 'defineCommand' in client
        ? pickAndMove(client, args)
        : own(client, command, args)

    async function pickAndMove(client: PickClient, args: unknown[]): Promise<unknown> {
      if (!defined.has(client)) client.defineCommand(PICK_COMMAND, { lua: PICK, numberOfKeys: 4 })
      defined.add(client)
      const runs = skipped()
      const transaction = client.multi()
      transaction.runCommand(PICK_COMMAND, [
        keys.wait,
        backend.toKey('ready'),
        backend.toKey('turn'),
        keys.marker,
        backend.toKey(''),
        seen,
        String(runs.length),
        ...runs,
        ...outputs,
      ])
      own(transaction, 'moveToActive', args.with(TIME_ARGUMENT, clock.now()))
      const [picked, moved] = (await transaction.exec()) ?? []
      const error = picked?.[0] ?? moved?.[0]
      if (error) throw error
      const [sorted, removed] = (picked?.[1] ?? ['', []]) as PickReply
      seen = String(sorted)
      for (const id of removed) onRemoved(id)
      const found = moved?.[1]
      if (!Array.isArray(found)) return found
      const [job, id, limitMs, delayedUntil] = found
      return [job, id, limitMs, toLocal(delayedUntil)]
    }
    return backend
  }

/** For BullMQ: no next job was asked for. It declares a list and checks with Array.isArray. */
const NOT_FETCHED = undefined as unknown as unknown[]

type PickReply = readonly [sorted: string | number, removed: readonly string[]]
type PickClient = Extract<Parameters<RedisQueueBackend['execCommand']>[0], { defineCommand: unknown }>

/**
 * BullMQ's worker, which does not take the next job in the script that ends the last one: that
 * script knows BullMQ's order only.
 */
export class FairWorker<Data> extends Worker<Data, void> {
  override processJob(
    job: Parameters<Worker<Data, void>['processJob']>[0],
    token: string,
  ): ReturnType<Worker<Data, void>['processJob']> {
    return super.processJob(job, token, () => false)
  }
}
