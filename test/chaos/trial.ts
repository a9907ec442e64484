// One run of the whole cluster, with or without faults, and its result.

import { type Audit, audit } from './audit.ts'
import { type Cluster, type ClusterOptions, startCluster } from './cluster.ts'
import { watchReturns } from './returns.ts'
import { type Takeover, takeoversOf } from './takeovers.ts'

/** Hurts the cluster until enough faults were given or the run is published. */
export type Hurt = (cluster: Cluster, wounds: Wounds) => Promise<void>

/** A time between two moments of the monotonic clock, and the fault that it belongs to. */
export interface FaultTime {
  readonly fault: string
  readonly fromMs: number
  readonly toMs: number
}

/** What is noted of the faults. */
export interface Wounds {
  given: number
  /** Of each fault, the time until others had its jobs, or until new shards were made. */
  readonly recoveries: FaultTime[]
  /** When a dependency did not answer. */
  readonly outages: FaultTime[]
  /** Recoveries that are still in progress after a fault. */
  readonly healing: Promise<void>[]
  /** Shards whose jobs a worker held when a fault took them from it. */
  readonly taken: number[]
  /** What workers took to leave, in ms. */
  readonly leftMs: number[]
  /** Workers that took longer than their time for jobs under way and 5 s. */
  leftLate: number
  /** Replies of a model that is not the planned one. */
  foreignReplies: number
  /** Replies of a hostile endpoint. */
  lies: number
  readonly broken: string[]
}

export interface Trial extends Omit<Audit, 'sizes'> {
  readonly wounds: Wounds
  readonly documents: number
  readonly seconds: number
  readonly shards: number
  /** Computations of documents beyond the first of each. */
  readonly paidAgain: number
  /** Documents of the shards that faults took out of a worker's hands, or that it gave back. */
  readonly underWay: number
  readonly overwritten: number
  /** Jobs that BullMQ found without a worker. */
  readonly stalls: number
  /** Of jobs that killed and leaving workers had. */
  readonly takeovers: readonly Takeover[]
  readonly longestGapMs: number
  readonly endedAlone: readonly string[]
  readonly broken: readonly string[]
}

export async function runTrial(options: ClusterOptions, hurt: Hurt = async () => {}): Promise<Trial> {
  await using cluster = await startCluster(options)
  const { lookout, fleet, store, run, computed } = cluster
  using returns = watchReturns(cluster.redisUrl)
  const started = performance.now()
  const wounds: Wounds = {
    given: 0,
    recoveries: [],
    outages: [],
    healing: [],
    taken: [],
    leftMs: [],
    leftLate: 0,
    foreignReplies: 0,
    lies: 0,
    broken: [],
  }
  const hurting = hurt(cluster, wounds)
  await Promise.all([lookout.until(() => lookout.published), hurting])
  const seconds = (performance.now() - started) / 1000
  const endedAlone = [...fleet.endedAlone]
  await cluster.calm()

  const found = await audit(store, run, options.documents)
  const overwritten = (await lookout.overwritten()).length
  const verified = await cluster.reembed('verify', '--output', store.url)
  const broken = [...wounds.broken]
  const { lost, doubled, foreign, sizes } = found
  for (const [what, times] of Object.entries({ lost, doubled, foreign, overwritten })) {
    if (times > 0) broken.push(`${times} ${what}`)
  }
  if (verified.code !== 0)
    broken.push(`reembed verify: exit code ${verified.code}: ${verified.stderr.trim()}`)
  const handedBack = fleet.events.flatMap(({ what, shard = -1 }) => (what === 'requeued' ? [shard] : []))
  return {
    ...found,
    documents: options.documents,
    wounds,
    seconds,
    shards: cluster.shards,
    paidAgain: computed.reduce((sum, times) => sum + Math.max(0, times - 1), 0),
    underWay: [...wounds.taken, ...handedBack].reduce((sum, shard) => sum + (sizes.get(shard) ?? 0), 0),
    overwritten,
    stalls: fleet.events.filter(({ what }) => what === 'stalled').length,
    takeovers: takeoversOf(fleet.events, returns.seen, {
      concurrency: options.concurrency,
      drainMs: ({ number }) => 1000 * options.drainSeconds(number),
    }),
    longestGapMs: lookout.longestGapMs,
    endedAlone,
    broken,
  }
}
