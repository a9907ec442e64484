// A fleet of workers with endless work, and the replicas that they send it to, on a simulated
// clock. Limiter, step, coordinator and balancer are the real ones; simulated are the server (first
// come first served, permits per input, whole requests refused), the network (2 ms each way), and
// the workers' way of sending again (full jitter).

import { createLimiter } from '@reembed/limiter'
import { createLimitCoordinator } from '@reembed/queue'
import { createSimulatedClock, seeded } from '@reembed/testing'
import { createBalancer } from '../../src/client/balancer.ts'

export interface FleetOptions {
  readonly workers: number
  readonly seconds: number
  /** How many replicas answer at a second. 0: a proxy answers 503. */
  readonly replicas: (second: number) => number
  /** Inputs a second of one replica. */
  readonly perSecond?: (replica: number) => number
  readonly permits?: number
  /** Whether workers know the replicas' addresses, or a balancer sends each request anywhere. */
  readonly addressable?: boolean
  /** Inputs a second that another client sends, refused or not, at a second. */
  readonly noise?: (second: number) => number
  readonly inputs?: number
  readonly seed?: number
}

export interface FleetResult {
  /** Inputs answered in each second, and what the replicas there could have answered. */
  readonly answered: readonly number[]
  readonly capacity: readonly number[]
  readonly refused: readonly number[]
  readonly requests: readonly number[]
  readonly absent: readonly number[]
  /** Inputs answered of each worker. */
  readonly perWorker: readonly number[]
  readonly p99Ms: number
  readonly limits: readonly number[]
}

const WIRE_MS = 2
/** Requests that a worker has ready: two windows of four jobs. */
const READY = 64

export async function runFleet(options: FleetOptions): Promise<FleetResult> {
  const { workers, seconds, replicas, permits = 512, addressable = false, noise, inputs = 32 } = options
  const perSecond = options.perSecond ?? (() => 450)
  const clock = createSimulatedClock()
  const random = seeded(options.seed ?? 1)
  const coordinator = createLimitCoordinator(clock)
  const zeros = (): number[] => Array.from({ length: seconds }, () => 0)
  const [answered, capacity, refused, requests, absent, limits] = [
    zeros(),
    zeros(),
    zeros(),
    zeros(),
    zeros(),
    zeros(),
  ]
  const perWorker = Array.from({ length: workers }, () => 0)
  const latencies: number[] = []
  const servers = new Map<number, { held: number; freeAt: number }>()
  const second = (): number => Math.min(seconds - 1, Math.floor(clock.now() / 1000))
  const add = (counts: number[], n: number): void => {
    counts[second()] = (counts[second()] ?? 0) + n
  }
  const there = (): number => replicas(clock.now() / 1000)
  for (let s = 0; s < seconds; s++) {
    for (let r = 0; r < replicas(s + 0.5); r++) capacity[s] = (capacity[s] ?? 0) + perSecond(r)
  }

  type Answer = { queueMs: number; inferenceMs: number } | 'refused' | 'absent' | 'reset'

  async function serve(replica: number, count: number): Promise<Answer> {
    await clock.sleep(WIRE_MS)
    if (replica >= there()) return 'absent'
    const server = servers.get(replica) ?? { held: 0, freeAt: 0 }
    servers.set(replica, server)
    if (server.held + count > permits) return 'refused'
    server.held += count
    const startsAt = Math.max(clock.now(), server.freeAt)
    const queueMs = startsAt - clock.now()
    const inferenceMs = (1000 * count) / perSecond(replica)
    server.freeAt = startsAt + inferenceMs
    await clock.sleep(server.freeAt - clock.now())
    server.held -= count
    if (replica >= there()) {
      servers.delete(replica)
      return 'reset'
    }
    return { queueMs, inferenceMs }
  }

  async function worker(index: number): Promise<void> {
    const balancer = createBalancer<number>({ now: clock.now, random })
    const known = new Set<number>()
    let resolvedAt = Number.NEGATIVE_INFINITY
    /** As a name that is resolved again every five seconds, or a second after a replica failed. */
    const resolve = (): void => {
      resolvedAt = clock.now()
      for (let r = 0; r < there(); r++) if (!known.has(r)) known.add(r) && balancer.add(r)
      for (const r of [...known]) if (r >= there()) known.delete(r) && balancer.remove(r)
    }
    const resolveOften = async (): Promise<void> => {
      for (; ; await clock.sleep(5_000 * (0.9 + 0.2 * random()))) resolve()
    }
    if (addressable) void resolveOften()
    const choose = (count: number) => {
      const turn = addressable ? balancer.assign(count) : undefined
      if (turn) return turn
      return { replica: Math.floor(random() * there()), end: () => {} }
    }
    const limiter = createLimiter({
      max: () => 0.8 * permits * (addressable ? Math.max(1, known.size) : 64),
      coordinator,
      worker: `w${index}`,
      clock,
      random,
      maxUnavailableMs: Number.POSITIVE_INFINITY,
      async probe() {
        add(requests, 1)
        const outcome = await serve(0, 1)
        if (typeof outcome === 'object' || outcome === 'refused') return null
        add(absent, 1)
        await clock.sleep(WIRE_MS)
        return { reason: 'warming' }
      },
    })

    async function client(): Promise<void> {
      for (let tries = 0; ; ) {
        const permit = await limiter.acquire(inputs)
        const began = clock.now()
        const turn = choose(permit.inputs)
        add(requests, 1)
        const outcome = await serve(turn.replica, permit.inputs)
        await clock.sleep(WIRE_MS)
        if (typeof outcome === 'object') {
          turn.end('answered')
          permit.success({ ...outcome, totalMs: clock.now() - began })
          add(answered, permit.inputs)
          if (perWorker[index] !== undefined) perWorker[index] += permit.inputs
          latencies.push(clock.now() - began)
          tries = 0
          continue
        }
        turn.end(outcome === 'refused' ? 'neutral' : 'failed')
        if (outcome === 'absent') add(absent, 1)
        if (outcome !== 'refused' && clock.now() - resolvedAt > 1_000) resolve()
        if (outcome === 'refused') add(refused, 1)
        permit.dropped(outcome === 'absent' ? 'warming' : undefined)
        tries++
        await clock.sleep(random() * Math.min(5_000, 100 * 2 ** tries))
      }
    }
    for (let i = 0; i < READY; i++) void client()
    if (index === 0) {
      for (;;) {
        limits[second()] = limiter.limit * workers
        await clock.sleep(250)
      }
    }
  }

  async function other(rate: (second: number) => number): Promise<void> {
    for (;;) {
      const now = rate(clock.now() / 1000)
      if (now > 0) {
        void serve(Math.floor(random() * there()), 16).then(outcome => {
          if (typeof outcome === 'object') add(answered, 16)
        })
      }
      await clock.sleep(now > 0 ? (-Math.log(1 - random()) * 16_000) / now : 100)
    }
  }

  for (let i = 0; i < workers; i++) void worker(i)
  if (noise) void other(noise)
  await clock.runUntil(seconds * 1000 - 1)
  latencies.sort((a, b) => a - b)
  const p99Ms = latencies[Math.floor(0.99 * latencies.length)] ?? 0
  return { answered, capacity, refused, requests, absent, perWorker, p99Ms, limits }
}

/** Share of the capacity that was used in seconds `from` to `to`. */
export const utilisation = ({ answered, capacity }: FleetResult, from: number, to: number): number =>
  sum(answered.slice(from, to)) / sum(capacity.slice(from, to))
export const refusals = ({ refused, requests }: FleetResult, from: number, to: number): number =>
  sum(refused.slice(from, to)) / Math.max(1, sum(requests.slice(from, to)))
/** 1 when all have the same, 1/n when one has all. */
export const jain = (shares: readonly number[]): number =>
  sum(shares) ** 2 / (shares.length * sum(shares.map(share => share ** 2)))
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
