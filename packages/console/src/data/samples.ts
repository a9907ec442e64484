// What the console remembers: an hour of samples of each unfinished run, and the changes that it
// saw between two samples.

import type { RunStatus } from '@reembed/producer'
import type { WorkerActivity, WorkerState } from '@reembed/queue'

/** One sample of a run. */
export interface Sample {
  readonly atMs: number
  readonly documents: number
  readonly tokens: number
  readonly waiting: number
  readonly active: number
  readonly delayed: number
  readonly failed: number
  readonly workers: number
  /** Inputs that the workers may have in flight at the endpoint, and those that they have. */
  readonly limit: number
  readonly inFlight: number
  /** Of the replies in the last ten seconds; null without any. */
  readonly queueMs: number | null
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  /** Requests that the endpoint refused, per second. */
  readonly refused: number
}

/** A change of a run. */
export interface RunEvent {
  readonly atMs: number
  /** `lost`: a worker without a heartbeat; it left or died. */
  readonly kind: 'state' | 'worker' | 'lost' | 'endpoint' | 'replica' | 'record' | 'version'
  readonly text: string
}

export interface History {
  readonly samples: readonly Sample[]
  readonly events: readonly RunEvent[]
}

const KEPT_MS = 3_600_000
/** One sample each five seconds; a faster poll does not add samples. */
const STEP_MS = 5_000
const MAX_EVENTS = 200

/** Keeps the histories of the runs that are added; memory is bounded by time and number. */
export interface HistoryKeeper {
  add(output: string, status: RunStatus, nowMs: number): void
  of(output: string, run: string): History
  /** Forgets all runs but these. */
  retain(known: ReadonlySet<string>): void
}

export const historyKey = (output: string, run: string): string => `${output} ${run}`

interface Kept {
  samples: Sample[]
  events: RunEvent[]
  last: RunStatus
}

export function createHistoryKeeper(): HistoryKeeper {
  const kept = new Map<string, Kept>()
  return {
    add(output, status, nowMs) {
      const key = historyKey(output, status.run)
      const entry = kept.get(key)
      if (entry === undefined) {
        kept.set(key, { samples: sampled(status, nowMs), events: [], last: status })
        return
      }
      entry.events = [...entry.events, ...changes(entry.last, status, nowMs)].slice(-MAX_EVENTS)
      entry.last = status
      const newest = entry.samples.at(-1)
      if (newest === undefined || nowMs - newest.atMs >= STEP_MS)
        entry.samples.push(...sampled(status, nowMs))
      while (entry.samples[0] && nowMs - entry.samples[0].atMs > KEPT_MS) entry.samples.shift()
    },
    of: (output, run) => kept.get(historyKey(output, run)) ?? { samples: [], events: [] },
    retain(known) {
      for (const key of kept.keys()) if (!known.has(key)) kept.delete(key)
    },
  }
}

/** Only a run that Redis knows about has a sample: a finished one does not change. */
function sampled({ documentsDone, cost, queue }: RunStatus, atMs: number): Sample[] {
  if (queue === undefined) return []
  const { jobs, workers } = queue
  return [
    {
      atMs,
      documents: documentsDone,
      tokens: cost.tokens ?? 0,
      ...jobs,
      workers: workers.length,
      ...requestFigures(workers.flatMap(({ activity }) => activity ?? [])),
    },
  ]
}

/** Seconds over which a worker counts its requests. */
const REQUEST_SECONDS = 10

/** The figures of all workers: sums, means weighted by replies, and the highest p99. */
function requestFigures(all: readonly WorkerActivity[]) {
  const sum = (of: (one: WorkerActivity) => number): number => all.reduce((total, one) => total + of(one), 0)
  const mean = (of: (requests: WorkerActivity['requests']) => number | null): number | null => {
    const stating = all.filter(({ requests }) => of(requests) !== null && requests.answered > 0)
    const replies = stating.reduce((total, { requests }) => total + requests.answered, 0)
    const weighted = stating.map(({ requests }) => (of(requests) ?? 0) * requests.answered)
    return replies === 0 ? null : weighted.reduce((total, each) => total + each, 0) / replies
  }
  const slowest = all.flatMap(({ requests }) => requests.p99Ms ?? [])
  return {
    limit: sum(one => one.limit),
    inFlight: sum(one => one.inFlight),
    queueMs: mean(({ queueMs }) => queueMs),
    p50Ms: mean(({ p50Ms }) => p50Ms),
    p99Ms: slowest.length === 0 ? null : Math.max(...slowest),
    refused: sum(({ requests }) => requests.refused) / REQUEST_SECONDS,
  }
}

function changes(before: RunStatus, after: RunStatus, atMs: number): RunEvent[] {
  const events: RunEvent[] = []
  if (withoutNumbers(before.sentence) !== withoutNumbers(after.sentence))
    events.push({ atMs, kind: 'state', text: after.sentence })
  if (before.queue === undefined || after.queue === undefined) return events
  const [then, now] = [before.queue.workers, after.queue.workers].map(
    workers => new Map(workers.map(({ worker, endpoint }) => [worker, endpoint])),
  ) as [Map<string, string>, Map<string, string>]
  for (const [worker, endpoint] of now) {
    const known = then.get(worker)
    if (known === undefined) events.push({ atMs, kind: 'worker', text: `worker ${worker} serves the output` })
    else if (stateOf(known) !== stateOf(endpoint))
      events.push({
        atMs,
        kind: 'endpoint',
        text: `worker ${worker}: ${isOwnFault(endpoint) ? '' : 'endpoint '}${endpoint}`,
      })
  }
  for (const worker of then.keys())
    if (!now.has(worker)) events.push({ atMs, kind: 'lost', text: `worker ${worker} sends no heartbeat` })
  return [...events, ...replicaChanges(before.queue.workers, after.queue.workers, atMs)]
}

/** A replica that left the state in which the same worker saw it, or is new, or was removed. */
function replicaChanges(
  before: readonly WorkerState[],
  after: readonly WorkerState[],
  atMs: number,
): RunEvent[] {
  const [then, now] = [replicaStates(before), replicaStates(after)]
  if (then.size === 0 || now.size === 0) return []
  const changed = [...now].filter(([replica, { state }]) => then.get(replica)?.state !== state)
  const gone = [...then.keys()].filter(replica => !now.has(replica))
  return [
    ...changed.map(([replica, { state, reason }]): RunEvent => {
      const text = `replica ${replica} ${state.replace('_', ' ')}${reason === undefined ? '' : `: ${reason}`}`
      return { atMs, kind: 'replica', text }
    }),
    ...gone.map((replica): RunEvent => ({ atMs, kind: 'replica', text: `replica ${replica} removed` })),
  ]
}

/**
 * The replicas as the workers see them: the worst state of each, whatever the order of the workers.
 */
export function replicaStates(
  workers: readonly WorkerState[],
): Map<string, { readonly state: string; readonly reason: string | undefined }> {
  const found: ReturnType<typeof replicaStates> = new Map()
  for (const { activity } of workers) {
    for (const { replica, state, reason } of activity?.replicas ?? []) {
      const known = found.get(replica)
      if (known === undefined || severityOf(state) > severityOf(known.state))
        found.set(replica, { state, reason })
    }
  }
  return found
}

/** A state that this version does not know is the worst: it must be seen. */
const severityOf = (state: string): number => {
  const known = ['in_use', 'ejected', 'unreachable', 'quarantined'].indexOf(state)
  return known === -1 ? Number.POSITIVE_INFINITY : known
}

/** A heartbeat that states a fault of the worker instead of the state of its endpoint. */
const isOwnFault = (endpoint: string): boolean => /^(takes no jobs|failing): /.test(endpoint)

/** 'waiting: no connection, 2 s' and 'waiting: no connection, 8 s' are no change. */
const withoutNumbers = (sentence: string): string => sentence.replace(/\d+/g, '#')

/** The state without its figures: 'warming, 41 s' and 'warming, 42 s' are no change. */
const stateOf = (endpoint: string): string => endpoint.split(/[,:;(]/, 1)[0] ?? endpoint
