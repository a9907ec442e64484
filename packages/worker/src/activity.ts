// Measures what the jobs of a worker spend their time on, and how its endpoint answers, over the
// last ten seconds.
//
// A job is in one stage at a time. It waits for the endpoint while one of its windows is being
// embedded: the next window is read meanwhile, and costs nothing. Without such a window it waits
// for the source while it collects documents, and for the store otherwise. The time in which the
// event loop was busy is the CPU's; the waits share the rest. The cost is two readings of a clock
// for each window and each request, whatever the number of documents.

import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import { type Endpoint, isOverload, type ReplicaStatus } from '@reembed/endpoint'
import type { Limiter } from '@reembed/limiter'
import { JOB_STAGES, type JobStage, type StageShares, type WorkerActivity } from '@reembed/queue'

/** A stage that a job can wait for. */
export type Wait = Exclude<JobStage, 'cpu'>

/** Measures one job. Disposal ends it. */
export interface JobTimer extends Disposable {
  /** The job waits for `stage` until the returned value is disposed. Waits may overlap. */
  enter(stage: Wait): Disposable
  /** The job waits for `stage` until `work` settles. */
  during<T>(stage: Wait, work: Promise<T>): Promise<T>
}

export interface ActivityMeter {
  begin(): JobTimer
  /** Wraps an endpoint so that its replies are measured. */
  instrument(endpoint: Endpoint): Endpoint
  /** What happened since about ten seconds; called for each heartbeat. */
  read(of: {
    readonly limiter: Pick<Limiter, 'limit' | 'inFlight'>
    readonly replicas: readonly ReplicaStatus[] | undefined
  }): WorkerActivity
}

const WINDOW_MS = 10_000
/** Replies whose times give the percentiles. */
const MAX_REPLIES = 1_000
const MAX_REPLICAS = 50
/** Of the name of a replica, and of its reason. */
const MAX_CHARACTERS = 200

/** When several waits overlap, the first of these is the stage of the job. */
const ORDER: readonly Wait[] = ['endpoint', 'redis', 'store', 'source']

interface Mark {
  readonly atMs: number
  readonly waitedMs: Readonly<Record<Wait, number>>
  readonly loop: Pick<EventLoopUtilization, 'active' | 'idle'>
  readonly answered: number
  readonly refused: number
  readonly failed: number
}

interface Reply {
  readonly atMs: number
  readonly ms: number
  readonly queueMs: number | null
}

export interface ActivityMeterOptions {
  readonly now?: () => number
  /** The time that the event loop was busy and idle since its start. */
  readonly loop?: () => Pick<EventLoopUtilization, 'active' | 'idle'>
}

export function createActivityMeter({
  now = () => performance.now(),
  loop = () => performance.eventLoopUtilization(),
}: ActivityMeterOptions = {}): ActivityMeter {
  const waitedMs: Record<Wait, number> = { endpoint: 0, source: 0, store: 0, redis: 0 }
  const jobs = new Set<{ settle(): void }>()
  let replies: Reply[] = []
  let [answered, refused, failed] = [0, 0, 0]
  const mark = (): Mark => ({
    atMs: now(),
    waitedMs: { ...waitedMs },
    loop: loop(),
    answered,
    refused,
    failed,
  })
  let marks: Mark[] = [mark()]

  function begin(): JobTimer {
    const waits: Record<Wait, number> = { endpoint: 0, source: 0, store: 0, redis: 0 }
    let sinceMs = now()
    const job = {
      settle() {
        const atMs = now()
        waitedMs[ORDER.find(stage => waits[stage] > 0) ?? 'store'] += atMs - sinceMs
        sinceMs = atMs
      },
    }
    jobs.add(job)
    function enter(stage: Wait): Disposable {
      job.settle()
      waits[stage] += 1
      let isOver = false
      return {
        [Symbol.dispose]() {
          if (isOver) return
          isOver = true
          if (jobs.has(job)) job.settle()
          waits[stage] -= 1
        },
      }
    }
    return {
      enter,
      async during(stage, work) {
        using _ = enter(stage)
        return await work
      },
      [Symbol.dispose]() {
        if (jobs.delete(job)) job.settle()
      },
    }
  }

  return {
    begin,
    instrument: endpoint =>
      Object.assign(Object.create(endpoint) as Endpoint, {
        async request(...call: Parameters<Endpoint['request']>) {
          const outcome = await endpoint.request(...call)
          if (outcome.kind === 'ok') {
            answered += 1
            replies.push({ atMs: now(), ms: outcome.totalMs, queueMs: outcome.queueMs })
          } else if (isOverload(outcome)) refused += 1
          else failed += 1
          if (replies.length > 2 * MAX_REPLIES) replies = replies.slice(-MAX_REPLIES)
          return outcome
        },
      }),
    read({ limiter: { limit, inFlight }, replicas }) {
      for (const job of jobs) job.settle()
      const last = mark()
      const from = last.atMs - WINDOW_MS
      const first = marks.findLast(({ atMs }) => atMs <= from) ?? marks[0] ?? last
      marks = [...marks.filter(({ atMs }) => atMs >= first.atMs), last]
      replies = replies.filter(({ atMs }) => atMs > from)
      return {
        shares: sharesOf(first, last),
        jobs: jobs.size,
        limit,
        inFlight,
        requests: {
          answered: last.answered - first.answered,
          refused: last.refused - first.refused,
          failed: last.failed - first.failed,
          ...timesOf(replies),
        },
        replicas: replicas?.slice(0, MAX_REPLICAS).map(({ replica, state, reason }) => ({
          replica: replica.slice(0, MAX_CHARACTERS),
          state,
          ...(reason !== undefined && { reason: reason.slice(0, MAX_CHARACTERS) }),
        })),
      }
    },
  }
}

function sharesOf(first: Mark, last: Mark): StageShares | undefined {
  const waited = ORDER.map(stage => last.waitedMs[stage] - first.waitedMs[stage])
  const all = waited.reduce((sum, ms) => sum + ms, 0)
  if (all <= 0) return undefined
  const [active, idle] = [last.loop.active - first.loop.active, last.loop.idle - first.loop.idle]
  const cpu = active + idle > 0 ? active / (active + idle) : 0
  const shares = ORDER.map((stage, i) => [stage, rounded(((1 - cpu) * (waited[i] ?? 0)) / all)] as const)
  return {
    ...Object.fromEntries(JOB_STAGES.map(stage => [stage, 0])),
    ...Object.fromEntries(shares),
    cpu: rounded(cpu),
  } as StageShares
}

function timesOf(replies: readonly Reply[]) {
  const sorted = replies.map(({ ms }) => ms).sort((a, b) => a - b)
  const at = (share: number): number | null => {
    const ms = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
    return ms === undefined ? null : rounded(ms)
  }
  const queued = replies.flatMap(({ queueMs }) => queueMs ?? [])
  const queueMs =
    queued.length === 0 ? null : rounded(queued.reduce((sum, ms) => sum + ms, 0) / queued.length)
  return { p50Ms: at(0.5), p99Ms: at(0.99), queueMs }
}

/** Three digits after the point: a heartbeat is sent every two seconds. */
const rounded = (value: number): number => Math.round(1000 * value) / 1000
