// The faults themselves, each on a running cluster. A fault records what it hit and how long that
// took to recover; it resolves when the next fault may begin.

import { setTimeout as wait } from 'node:timers/promises'
import type { S3Fault } from '@reembed/testing'
import { FOREIGN, PLANNED } from './audit.ts'
import type { Cluster } from './cluster.ts'
import type { Wounds } from './trial.ts'
import type { WorkerProcess } from './worker-process.ts'

export type Fault = (cluster: Cluster, wounds: Wounds, random: () => number) => Promise<void>

const pick = <T>(values: readonly T[], random: () => number): T | undefined =>
  values[Math.floor(random() * values.length)]

/** Shards whose jobs these workers hold, and that are not in the store. */
const heldBy = (workers: readonly WorkerProcess[], { lookout }: Cluster): number[] =>
  workers.flatMap(({ held }) => [...held].filter(shard => !lookout.seen.has(shard)))

/** Notes when other workers have all of these, or they are made, without waiting for it. */
function expectTakeover(
  shards: readonly number[],
  victim: WorkerProcess,
  { fleet, lookout }: Cluster,
  wounds: Wounds,
): void {
  const started = performance.now()
  wounds.taken.push(...shards)
  if (shards.length === 0) return
  const taken = new Set<number | undefined>()
  const stop = fleet.listen(({ what, worker, shard }) => {
    if (what === 'job_started' && worker !== victim) taken.add(shard)
  })
  const over = lookout.until(() => shards.every(shard => taken.has(shard) || lookout.seen.has(shard)))
  wounds.healing.push(
    over
      .then(() => {
        wounds.recoveries.push({ fault: 'freeze', fromMs: started, toMs: performance.now() })
      })
      .finally(stop),
  )
}

/**
 * Waits for a shard that was not in progress: until the number of new shards exceeds the number of
 * jobs in progress.
 */
async function untilGoingOn(
  { lookout, options, shards }: Cluster,
  wounds: Wounds,
  fault: string,
): Promise<void> {
  const started = performance.now()
  const underWay = options.workers * options.concurrency
  await lookout.untilShards(Math.min(lookout.seen.size + underWay + 1, shards))
  wounds.recoveries.push({ fault, fromMs: started, toMs: performance.now() })
}

/** Waits while a dependency does not answer, and notes when that was. */
async function outage(seconds: number, wounds: Wounds, fault: string): Promise<void> {
  const fromMs = performance.now()
  await wait(1000 * seconds)
  wounds.outages.push({ fault, fromMs, toMs: performance.now() })
}

/**
 * kill -9; another process takes its place at once. Its jobs lie until their locks have run out.
 */
export const kill: Fault = async (cluster, wounds, random) => {
  const victim = pick(cluster.fleet.workers, random)
  if (!victim) return
  wounds.taken.push(...heldBy([victim], cluster))
  cluster.fleet.replace(victim, 'SIGKILL')
}

/** SIGTERM to a worker that takes jobs; another process takes its place at once. */
export const sigterm: Fault = async (cluster, wounds, random) => {
  const { fleet, options } = cluster
  const victim = pick(
    fleet.workers.filter(({ started, frozen }) => started && !frozen),
    random,
  )
  if (!victim) return
  const started = performance.now()
  const mostMs = 1000 * (options.drainSeconds(victim.number) + LEAVING_SECONDS)
  fleet.replace(victim, 'SIGTERM')
  const gone = victim.ended.then(({ code, signal }) => {
    const ms = performance.now() - started
    wounds.leftMs.push(ms)
    if (ms > mostMs) wounds.leftLate += 1
    if (code !== 0) wounds.broken.push(`a worker ended on SIGTERM with ${signal ?? `exit code ${code}`}`)
  })
  wounds.healing.push(gone)
}

/** Added to the time for jobs in progress: requeues the others, and exits. */
const LEAVING_SECONDS = 5

/**
 * SIGSTOP until the worker's locks have expired and other workers hold its jobs, then SIGCONT: it
 * continues with jobs that it no longer holds. Half of the workers may be stopped at once.
 */
export const freeze =
  (seconds: number): Fault =>
  async (cluster, wounds, random) => {
    const { workers } = cluster.fleet
    const awake = (): WorkerProcess[] => workers.filter(({ frozen }) => !frozen)
    await cluster.lookout.until(
      () => cluster.lookout.published || (awake().length > workers.length / 2 && awake().some(isBusy)),
    )
    const victim = pick(awake().filter(isBusy), random)
    if (!victim) return
    victim.freeze()
    expectTakeover(heldBy([victim], cluster), victim, cluster, wounds)
    const thawed = wait(1000 * seconds * (1 + random() / 2)).then(() => victim.thaw())
    wounds.healing.push(thawed)
  }

const isBusy = ({ held }: WorkerProcess): boolean => held.size > 0

/** Redis forgets everything: the queue, the locks, the limit. */
export const flushall: Fault = async (cluster, wounds) => {
  wounds.taken.push(...heldBy(cluster.fleet.workers, cluster))
  await cluster.redis.flushall()
  await untilGoingOn(cluster, wounds, 'flushall')
}

/** Redis is killed and comes back with nothing. */
export const restartRedis: Fault = async (cluster, wounds) => {
  wounds.taken.push(...heldBy(cluster.fleet.workers, cluster))
  await cluster.restartRedis()
  await untilGoingOn(cluster, wounds, 'restart of Redis')
}

/** Redis is full: it refuses all that takes memory, and recovers when there is some again. */
export const fillRedis =
  (seconds: number): Fault =>
  async (cluster, wounds) => {
    wounds.taken.push(...heldBy(cluster.fleet.workers, cluster))
    await cluster.redis.config('SET', 'maxmemory', '1')
    await outage(seconds, wounds, 'Redis full')
    await cluster.redis.config('SET', 'maxmemory', '0')
    await untilGoingOn(cluster, wounds, 'Redis full')
  }

/**
 * Redis is stopped for a while, as by a paused virtual machine: its connections stay, and nothing
 * answers.
 */
export const silenceRedis =
  (seconds: number): Fault =>
  async (cluster, wounds) => {
    wounds.taken.push(...heldBy(cluster.fleet.workers, cluster))
    const end = cluster.silenceRedis()
    await outage(seconds, wounds, 'Redis silent')
    end()
    await untilGoingOn(cluster, wounds, 'Redis silent')
  }

/** The connections to S3 swallow all that is sent for a while, as behind a broken firewall. */
export const silenceS3 =
  (seconds: number): Fault =>
  async (cluster, wounds) => {
    wounds.taken.push(...heldBy(cluster.fleet.workers, cluster))
    const end = cluster.silenceS3()
    await outage(seconds, wounds, 'S3 silent')
    end?.()
    await untilGoingOn(cluster, wounds, 'S3 silent')
  }

/**
 * A replica comes back with other weights at its address, and after one to `most` replies with the
 * right ones.
 */
export const switchModel =
  (most: number): Fault =>
  async ({ replicas, lookout }, wounds, random) => {
    const replica = pick(replicas, random)
    if (!replica) return
    await replica.crash()
    await replica.start({ sha: FOREIGN })
    const before = replica.counts.requests
    const wanted = 1 + Math.floor(most * random())
    await lookout.until(() => lookout.published || replica.counts.requests >= before + wanted)
    wounds.foreignReplies += replica.counts.requests - before
    await replica.crash()
    await replica.start({ sha: PLANNED })
  }

/** Replies that no honest server sends, in the shape of honest ones or of none. */
const HOSTILE: readonly ((body: string) => string)[] = [
  // The vectors of other texts.
  body => edited(body, rows => [...rows.slice(1), ...rows.slice(0, 1)]),
  // One vector for all.
  body => edited(body, rows => rows.map(() => rows[0] ?? [])),
  body => edited(body, rows => rows.slice(1)),
  body => edited(body, rows => [...rows, ...rows]),
  body => body.replace(/\d\.\d+/, '1e400'),
  body => body.slice(0, body.length / 2),
  () => 'all work and no play '.repeat(500_000),
  () => '<html>Sign in</html>',
]

function edited(body: string, edit: (rows: readonly number[][]) => readonly number[][]): string {
  const rows: unknown = JSON.parse(body)
  return Array.isArray(rows) ? JSON.stringify(edit(rows)) : body
}

/** A replica answers one to `most` requests in each of the ways of `HOSTILE` by turns. */
export const lieAsEndpoint =
  (most: number): Fault =>
  async ({ replicas, lookout }, wounds, random) => {
    const replica = pick(replicas, random)
    if (!replica) return
    const wanted = 1 + Math.floor(most * random())
    let lies = 0
    replica.faults.request = ({ path }) => {
      if (!/embed/.test(path) || lies >= wanted) return undefined
      const edit = HOSTILE[wounds.lies % HOSTILE.length] ?? String
      lies += 1
      wounds.lies += 1
      return { kind: 'edit', edit }
    }
    await lookout.until(() => lookout.published || lies >= wanted)
    replica.faults.request = undefined
  }

/** One request to S3 in ten fails, and of one in twenty the reply is lost. */
export function s3Fault(random: () => number): S3Fault | undefined {
  const chance = random()
  if (chance < 0.05) return { status: 503, code: 'SlowDown' }
  if (chance < 0.08) return { status: 500, code: 'InternalError' }
  if (chance < 0.1) return 'reset'
  if (chance < 0.15) return 'reply-lost'
  return undefined
}
