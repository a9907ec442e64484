// A cluster of one machine: worker processes that an autoscaler starts and ends, as Kubernetes
// would, over real Redis.

import { setTimeout as wait } from 'node:timers/promises'
import { QUEUE, REDIS_PREFIX } from '@reembed/queue'
import { QueueEvents } from 'bullmq'
import { Redis } from 'ioredis'
import { type Running, start } from '../../parts/cli.ts'
import { type Counts, createAutoscaler, formulaOf, readTriggers } from './autoscaler.ts'
import type { Manifest } from './chart.ts'

export interface FleetOptions {
  readonly redis: string
  /** Arguments of each `reembed worker`. */
  readonly worker: readonly string[]
  readonly scaledObject: Manifest
  /** Seconds of the autoscaler's clock in one real second. */
  readonly speed: number
  readonly onStep?: (step: Step) => void
}

export interface Step {
  readonly atS: number
  readonly counts: Counts
  readonly value: number
  readonly replicas: number
}

export interface Fleet extends AsyncDisposable {
  readonly steps: readonly Step[]
  /** Exit code and duration of the shutdown of each worker that received SIGTERM. */
  readonly ended: readonly { readonly code: number | null; readonly ms: number }[]
  /** Jobs that BullMQ found without a worker. */
  readonly stalled: readonly string[]
  /**
   * Ends a worker as a lost node does; the autoscaler is not asked for another one until it looks
   * again.
   */
  kill(): boolean
  /** Resolves when a step fits. */
  until(fits: (step: Step) => boolean, timeoutMs: number): Promise<Step>
}

const TICK_MS = 100

/** Starts with no worker, and from then on has as many as the ScaledObject says. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { scaledObject, speed } = options
  const redis = new Redis(options.redis)
  const events = new QueueEvents(QUEUE, {
    connection: { url: options.redis, maxRetriesPerRequest: null },
    prefix: REDIS_PREFIX,
  })
  await events.waitUntilReady()
  const stalled: string[] = []
  events.on('stalled', ({ jobId }) => stalled.push(jobId))

  const autoscaler = createAutoscaler(scaledObject)
  const formula = formulaOf(scaledObject)
  const pods: Running[] = []
  const leaving = new Set<Promise<void>>()
  const ended: { code: number | null; ms: number }[] = []
  const steps: Step[] = []
  const watchers = new Set<(step: Step) => void>()
  const started = performance.now()
  let stopped = false

  function add(): void {
    pods.push(start(['worker', ...options.worker, '--redis', options.redis]))
  }

  /** The pod that has run for the shortest time goes first, as with Kubernetes. */
  function end(): void {
    const pod = pods.pop()
    if (pod === undefined) return
    const told = performance.now()
    pod.child.kill('SIGTERM')
    const gone = pod.finished.then(({ code }) => {
      ended.push({ code, ms: performance.now() - told })
      leaving.delete(gone)
    })
    leaving.add(gone)
  }

  async function step(): Promise<void> {
    const atS = ((performance.now() - started) / 1000) * speed
    const counts = await readTriggers(redis, scaledObject)
    const value = formula(counts)
    const replicas = autoscaler.replicas(atS, value, pods.length)
    while (pods.length < replicas) add()
    while (pods.length > replicas) end()
    const now = { atS, counts, value, replicas }
    steps.push(now)
    options.onStep?.(now)
    for (const watch of watchers) watch(now)
  }

  const loop = (async () => {
    while (!stopped) {
      await step()
      await wait(TICK_MS)
    }
  })()
  loop.catch(() => {})

  return {
    steps,
    ended,
    stalled,
    kill() {
      const pod = pods.shift()
      return pod?.child.kill('SIGKILL') ?? false
    },
    until(fits, timeoutMs) {
      const { promise, resolve, reject } = Promise.withResolvers<Step>()
      const timer = setTimeout(() => {
        reject(new Error(`not within ${timeoutMs} ms; last step: ${JSON.stringify(steps.at(-1))}`))
      }, timeoutMs)
      const watch = (now: Step): void => {
        if (fits(now)) resolve(now)
      }
      watchers.add(watch)
      loop.catch(reject)
      return promise.finally(() => {
        clearTimeout(timer)
        watchers.delete(watch)
      })
    },
    async [Symbol.asyncDispose]() {
      stopped = true
      await loop.catch(() => {})
      await Promise.all(leaving)
      for (const { child } of pods) child.kill('SIGKILL')
      await Promise.all(pods.map(({ finished }) => finished))
      await events.close()
      redis.disconnect()
    },
  }
}
