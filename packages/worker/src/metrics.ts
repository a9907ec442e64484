// The metrics of a worker. Their sources: a wrapper around the endpoint's `request`, the limiter
// (read at each scrape), the end of each job, events of the queue, and transient errors of the
// store.

import { type Endpoint, type Outcome, REPLICA_STATES, type ReplicaStatus } from '@reembed/endpoint'
import type { ConsumerEvent } from '@reembed/queue'
import { ERROR_CODES, ReembedError } from '@reembed/shared'
import { onTransientStoreError, TRANSIENT_STORE_ERRORS } from '@reembed/store'
import type { Registry } from '@reembed/telemetry'
import type { JobResult } from './job-result.ts'

export interface WorkerMetrics extends Disposable {
  /** Wraps an endpoint so that each request is counted. */
  instrument(endpoint: Endpoint): Endpoint
  /** Sets the source of the limit and of the inputs in flight. */
  watchLimiter(read: () => { readonly limit: number; readonly inFlight: number }): void
  /**
   * Sets the source of the replicas; undefined where replicas are not addressed individually.
   */
  watchReplicas(read: () => readonly ReplicaStatus[] | undefined): void
  recordJob(made: JobResult, seconds: number): void
  recordEvent(event: ConsumerEvent): void
}

/** All kinds of outcomes, as the label's fixed set of values. */
const OUTCOMES: readonly Outcome['kind'][] = [
  'ok',
  'overload',
  'cold_start',
  'gateway',
  'down',
  'reset',
  'timeout',
  'backend',
  'corrupt',
  'collapsed',
  'batch_limit',
  'too_large',
  'too_long',
  'bad_input',
  'access_denied',
  'paused',
  'route_missing',
  'redirect',
  'wrong_model',
  'unsupported',
]
const JOB_OUTCOMES = ['done', 'delayed', 'requeued', 'failed', 'stalled'] as const
const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const JOB_SECONDS = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600]
/** Reject reasons are a fixed list in the code; the number bounds those of later versions. */
const MAX_REASONS = 32

/** Declares the metrics of a worker in `registry`. Disposing them removes their observers. */
export function createWorkerMetrics(registry: Registry, concurrency: number): WorkerMetrics {
  const jobs = registry.counter(
    'reembed_jobs_total',
    'Jobs that left this worker, by outcome; stalled: jobs of a lost worker, found by this one.',
    { outcome: JOB_OUTCOMES },
  )
  const failures = registry.counter(
    'reembed_job_failures_total',
    'Failed or delayed attempts of jobs, by error code.',
    { code: ERROR_CODES },
  )
  const active = registry.gauge('reembed_jobs_active', 'Jobs in progress in this worker.', {})
  const room = registry.gauge('reembed_jobs_concurrency', 'Maximum concurrent jobs of this worker.', {})
  const jobSeconds = registry.histogram(
    'reembed_job_duration_seconds',
    'Time from taking a job to its shard in the store, in seconds.',
    JOB_SECONDS,
  )
  const shards = registry.counter(
    'reembed_shards_total',
    'Shards by outcome: put, carried over from a base run, or found in the store before (already_done) or after (already_exists) the work.',
    { outcome: ['put', 'carried', 'already_exists', 'already_done'] },
  )
  const bytes = registry.counter(
    'reembed_shard_bytes_total',
    'Total size of the shards written by this worker, in bytes.',
    {},
  )
  const documents = registry.counter(
    'reembed_documents_total',
    'Documents in the shards written by this worker, rejects included.',
    {},
  )
  const rejects = registry.counter(
    'reembed_rejects_total',
    'Rejects in the shards written by this worker, by reason.',
    {
      reason: MAX_REASONS,
    },
  )
  const tokens = registry.counter(
    'reembed_tokens_total',
    'Tokens counted by the endpoint in its replies.',
    {},
  )
  const texts = registry.counter(
    'reembed_texts_total',
    'Texts answered with a valid vector, canaries included.',
    {},
  )
  const requests = registry.counter('reembed_requests_total', 'HTTP requests to the endpoint, by outcome.', {
    outcome: OUTCOMES,
  })
  const requestSeconds = registry.histogram(
    'reembed_request_duration_seconds',
    'Time of answered requests from sending to the last byte, in seconds.',
    REQUEST_SECONDS,
  )
  const queueSeconds = registry.histogram(
    'reembed_endpoint_queue_seconds',
    "Mean time of a request's texts in the endpoint's queue, in seconds, where it states one.",
    REQUEST_SECONDS,
  )
  const limit = registry.gauge(
    'reembed_limiter_limit_inputs',
    'Maximum texts in flight from this worker at its endpoint.',
    {},
  )
  const inFlight = registry.gauge(
    'reembed_limiter_inflight_inputs',
    'Texts in flight from this worker at its endpoint.',
    {},
  )
  const replicas = registry.gauge(
    'reembed_endpoint_replicas',
    'Replicas of the endpoint, by state; quarantined: serves another model.',
    { state: REPLICA_STATES },
  )
  const faults = registry.counter(
    'reembed_store_transient_errors_total',
    'Transient errors of store calls, by reason.',
    { reason: TRANSIENT_STORE_ERRORS },
  )

  room.set(concurrency, {})
  const listening = onTransientStoreError(reason => faults.add(1, { reason }))
  let taken = 0

  function count(outcome: Outcome, sent: number): void {
    requests.add(1, { outcome: outcome.kind })
    if (outcome.kind !== 'ok') return
    texts.add(sent - outcome.badRows.length, {})
    if (outcome.tokens !== null) tokens.add(outcome.tokens, {})
    requestSeconds.observe(outcome.totalMs / 1000)
    if (outcome.queueMs !== null) queueSeconds.observe(outcome.queueMs / 1000)
  }

  registry.collect(() => active.set(taken, {}))

  return {
    instrument: endpoint =>
      Object.assign(Object.create(endpoint) as Endpoint, {
        async request(...call: Parameters<Endpoint['request']>) {
          const outcome = await endpoint.request(...call)
          count(outcome, call[0].length)
          return outcome
        },
      }),
    watchLimiter(read) {
      registry.collect(() => {
        const now = read()
        limit.set(now.limit, {})
        inFlight.set(now.inFlight, {})
      })
    },
    watchReplicas(read) {
      registry.collect(() => {
        const all = read()
        if (all === undefined) return
        for (const state of REPLICA_STATES)
          replicas.set(all.filter(replica => replica.state === state).length, { state })
      })
    },
    recordJob(made, seconds) {
      shards.add(1, { outcome: made.status })
      if (made.status !== 'put') return
      jobSeconds.observe(seconds)
      bytes.add(made.bytes, {})
      documents.add(made.receipt.documents, {})
      for (const { reason } of made.receipt.rejects) rejects.add(1, { reason })
    },
    recordEvent(event) {
      if (event.kind === 'started') taken += 1
      else if (event.kind === 'stalled') jobs.add(1, { outcome: 'stalled' })
      else if ('job' in event) {
        if (event.job !== undefined) taken -= 1
        jobs.add(1, { outcome: event.kind })
        if (event.kind === 'failed' || event.kind === 'delayed')
          failures.add(1, { code: event.error instanceof ReembedError ? event.error.code : 'INTERNAL' })
      }
    },
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  }
}
