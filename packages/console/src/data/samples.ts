// What the console remembers: an hour of samples of each unfinished run, and the changes that it
// saw between two samples.

import type { RunStatus } from '@reembed/producer'

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
}

/** A change of a run. */
export interface RunEvent {
  readonly atMs: number
  /** `lost`: a worker without a heartbeat; it left or died. */
  readonly kind: 'state' | 'worker' | 'lost' | 'endpoint' | 'record' | 'version'
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
  return [{ atMs, documents: documentsDone, tokens: cost.tokens ?? 0, ...jobs, workers: workers.length }]
}

function changes(before: RunStatus, after: RunStatus, atMs: number): RunEvent[] {
  const events: RunEvent[] = []
  if (before.sentence !== after.sentence) events.push({ atMs, kind: 'state', text: after.sentence })
  if (before.queue === undefined || after.queue === undefined) return events
  const [then, now] = [before.queue.workers, after.queue.workers].map(
    workers => new Map(workers.map(({ worker, endpoint }) => [worker, endpoint])),
  ) as [Map<string, string>, Map<string, string>]
  for (const [worker, endpoint] of now) {
    const known = then.get(worker)
    if (known === undefined) events.push({ atMs, kind: 'worker', text: `worker ${worker} serves the output` })
    else if (stateOf(known) !== stateOf(endpoint))
      events.push({ atMs, kind: 'endpoint', text: `worker ${worker}: endpoint ${endpoint}` })
  }
  for (const worker of then.keys())
    if (!now.has(worker)) events.push({ atMs, kind: 'lost', text: `worker ${worker} sends no heartbeat` })
  return events
}

/** The state without its figures: 'warming, 41 s' and 'warming, 42 s' are no change. */
const stateOf = (endpoint: string): string => endpoint.split(/[,:;(]/, 1)[0] ?? endpoint
