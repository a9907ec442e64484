// What a worker did in the last seconds, as a part of its heartbeat. For display: no decision
// depends on it, and workers of other versions may leave it out.

import { amount, count, either, list, none, optional, record, type Shape, text } from '@reembed/shared'

/** What the time of a job is spent on. */
export const JOB_STAGES = ['endpoint', 'source', 'store', 'redis', 'cpu'] as const
export type JobStage = (typeof JOB_STAGES)[number]

/** Shares of time from 0 to 1; they add up to 1. */
export type StageShares = Readonly<Record<JobStage, number>>

/** Requests to the endpoint in the last ten seconds. */
export interface RequestFigures {
  readonly answered: number
  /** Refused for overload, or lost to it. */
  readonly refused: number
  /** All other failures. */
  readonly failed: number
  /** Time of the answered ones from sending to the last byte; null without any. */
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  /** Mean time of texts in the endpoint's queue; null where it states none. */
  readonly queueMs: number | null
}

/** A replica of the endpoint, where replicas are addressed individually. */
export interface ReplicaFigures {
  readonly replica: string
  /** `in_use`, `ejected`, `quarantined` or `unreachable`. */
  readonly state: string
  /** Why it is not in use. */
  readonly reason?: string | undefined
}

export interface WorkerActivity {
  /**
   * What the jobs of the last ten seconds spent their time on; undefined if the worker had none.
   */
  readonly shares?: StageShares | undefined
  /** Jobs in progress. */
  readonly jobs: number
  /** Inputs that this worker may have in flight at the endpoint, and those that it has. */
  readonly limit: number
  readonly inFlight: number
  readonly requests: RequestFigures
  readonly replicas?: readonly ReplicaFigures[] | undefined
}

const orNull = (shape: Shape): Shape => either(none, shape)

export const activityShape: Shape = record<WorkerActivity>({
  shares: optional(
    record<StageShares>({ endpoint: amount, source: amount, store: amount, redis: amount, cpu: amount }),
  ),
  jobs: count,
  limit: amount,
  inFlight: amount,
  requests: record<RequestFigures>({
    answered: count,
    refused: count,
    failed: count,
    p50Ms: orNull(amount),
    p99Ms: orNull(amount),
    queueMs: orNull(amount),
  }),
  replicas: optional(list(record<ReplicaFigures>({ replica: text, state: text, reason: optional(text) }))),
})
