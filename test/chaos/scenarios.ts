// The faults, their number and the cluster of each scenario. A seed decides when a fault happens
// and which process it hits.

import type { ClusterOptions } from './cluster.ts'
import type { Fault } from './faults.ts'
import * as faults from './faults.ts'
import type { Hurt } from './trial.ts'

export interface Scenario {
  readonly about: string
  readonly documents: number
  /** Faults that are given one by one; those of S3 come on top. */
  readonly faults: number
  /** What a quiet run takes: the fake endpoint is as quick as that. */
  readonly seconds: number
  readonly cluster?: Partial<ClusterOptions>
  /**
   * One of these, by chance. Durations are in proportion to `hold`: 1 is long enough for every lock
   * to run out.
   */
  readonly given: (hold: number) => readonly Fault[]
  readonly s3Faults?: true
  /** What it takes may be so many times what a quiet run takes. */
  readonly mostTimes?: number
}

const FROZEN_SECONDS = 26
const FULL_SECONDS = 60
/** Longer than a lock of a job, and than a call to the store may take. */
const SILENT_SECONDS = 75

/** The clock of each third worker is two hours ahead, and that of another third 26 hours behind. */
export const hoursInTurns = (n: number): number => [0, 2, -26][n % 3] ?? 0

/** Every second worker that gets SIGTERM has too little time for its jobs, and requeues them. */
export const drainInTurns = (n: number): number => (n % 2 === 0 ? 1 : 10)

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  kill: {
    about: 'kill -9 of a worker',
    documents: 200_000,
    faults: 500,
    seconds: 400,
    given: () => [faults.kill],
    mostTimes: 2,
  },
  flushall: {
    about: 'FLUSHALL',
    documents: 30_000,
    faults: 10,
    seconds: 60,
    given: () => [faults.flushall],
  },
  'redis-restart': {
    about: 'kill -9 of Redis, which keeps nothing',
    documents: 30_000,
    faults: 10,
    seconds: 60,
    given: () => [faults.restartRedis],
  },
  oom: {
    about: `Redis full for ${FULL_SECONDS} s`,
    documents: 30_000,
    // Workers that finish jobs continue meanwhile, and the second fault may outlast the run: the
    // first ends within it.
    faults: 2,
    seconds: 120,
    given: hold => [faults.fillRedis(hold * FULL_SECONDS)],
  },
  freeze: {
    about: 'SIGSTOP of a worker until other workers took its jobs, then SIGCONT',
    documents: 60_000,
    faults: 50,
    // Half of the workers lie still, each for half a minute: the last of them is given well before
    // the end.
    seconds: 300,
    cluster: { workers: 16 },
    given: hold => [faults.freeze(hold * FROZEN_SECONDS)],
  },
  sigterm: {
    about: 'SIGTERM of a worker',
    documents: 60_000,
    faults: 200,
    seconds: 200,
    // Small jobs: a requeued job can only be taken where a slot becomes free.
    cluster: { drainSeconds: drainInTurns, documentsPerShard: 25, concurrency: 4 },
    given: () => [faults.sigterm],
  },
  'model-switch': {
    about: 'one of three replicas serves another model for a while',
    documents: 60_000,
    faults: 200,
    seconds: 120,
    cluster: { replicas: 3 },
    given: () => [faults.switchModel(4)],
  },
  'model-switch-list': {
    about: 'the same, with each replica known by its own URL, so that it can be set aside',
    documents: 60_000,
    faults: 20,
    seconds: 120,
    cluster: { replicas: 3, listed: true },
    given: () => [faults.switchModel(1)],
  },
  s3: {
    about: '10 % of the requests to S3 fail, 5 % lose their reply',
    documents: 60_000,
    faults: 0,
    seconds: 60,
    cluster: { store: 's3' },
    given: () => [],
    s3Faults: true,
  },
  silent: {
    about: `Redis or S3 is silent for ${SILENT_SECONDS} s: connected, and without a reply`,
    documents: 60_000,
    faults: 4,
    seconds: 240,
    cluster: { store: 's3' },
    given: hold => [faults.silenceRedis(hold * SILENT_SECONDS), faults.silenceS3(hold * SILENT_SECONDS)],
  },
  hostile: {
    about: 'the endpoint lies: wrong vectors, one for all, too few, 10 MB, HTML',
    documents: 60_000,
    faults: 50,
    seconds: 120,
    cluster: { replicas: 3 },
    given: () => [faults.lieAsEndpoint(8)],
  },
  skew: {
    about: 'kill -9 of a worker, with clocks two hours ahead and 26 hours behind',
    documents: 60_000,
    faults: 50,
    seconds: 120,
    cluster: { hoursAhead: hoursInTurns },
    given: () => [faults.kill],
  },
  storm: {
    about: 'all of these at once',
    documents: 60_000,
    faults: 100,
    seconds: 120,
    cluster: { store: 's3', replicas: 3, drainSeconds: drainInTurns, hoursAhead: hoursInTurns },
    given: hold => [
      faults.kill,
      faults.kill,
      faults.sigterm,
      faults.flushall,
      faults.restartRedis,
      faults.fillRedis((hold * FULL_SECONDS) / 10),
      faults.freeze(hold * FROZEN_SECONDS),
      faults.silenceRedis((hold * SILENT_SECONDS) / 5),
      faults.silenceS3((hold * SILENT_SECONDS) / 5),
      faults.switchModel(4),
      faults.lieAsEndpoint(8),
    ],
    s3Faults: true,
  },
}

/**
 * Faults depend on progress, not on time, so a slow machine gets as many. The last part of the run
 * has none.
 */
const LAST = 0.9

/**
 * Gives `count` faults spread over the run: each of these once, in a random order, and again from
 * the start.
 */
export const giving =
  (given: readonly Fault[], count: number, random: () => number): Hurt =>
  async (cluster, wounds) => {
    const { lookout, shards } = cluster
    let left: Fault[] = []
    for (let n = 0; n < count; n += 1) {
      if (left.length === 0) left = [...given]
      const [fault] = left.splice(Math.floor(random() * left.length), 1)
      await lookout.untilShards(Math.floor((LAST * shards * (n + 0.5 + random() / 2)) / count))
      if (lookout.published) break
      wounds.given += 1
      await fault?.(cluster, wounds, random)
    }
    await Promise.all(wounds.healing)
  }
