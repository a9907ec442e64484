// What a worker counts. Declared here once, filled by small observation points: the endpoint (a
// wrapper around `request`), the limiter (read when scraped), the end of each job, and the store's
// faults.

import type { Endpoint, Outcome, ReplicaCounts } from '@reembed/endpoint'
import type { ConsumerEvent } from '@reembed/queue'
import { ERROR_CODES, ReembedError } from '@reembed/shared'
import { onTransientStoreError, TRANSIENT_STORE_ERRORS } from '@reembed/store'
import type { Registry } from '@reembed/telemetry'
import type { JobResult } from './job-result.ts'

export interface WorkerMetrics extends Disposable {
  /** The same endpoint; each of its requests is counted. */
  instrument(endpoint: Endpoint): Endpoint
  /** Says how to learn the limit and what is in flight, in inputs. */
  watchLimiter(read: () => { readonly limit: number; readonly inFlight: number }): void
  /** Says how many replicas stand how, where they are addressed one by one. */
  watchReplicas(read: () => ReplicaCounts | undefined): void
  recordJob(made: JobResult, seconds: number): void
  recordEvent(event: ConsumerEvent): void
}

/** All that one request can come to; see endpoint/outcome.ts. */
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
const REPLICA_STATES = ['in_use', 'ejected', 'quarantined', 'unreachable'] as const
const JOB_OUTCOMES = ['done', 'delayed', 'requeued', 'failed', 'stalled'] as const
const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const JOB_SECONDS = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600]
/** Reasons are a fixed list in the code; the number bounds what a later version may add. */
const MAX_REASONS = 32

export function createWorkerMetrics(registry: Registry, concurrency: number): WorkerMetrics {
  const jobs = registry.counter(
    'reembed_jobs_total',
    'Jobs by how they left this worker; stalled: found, of a vanished worker.',
    { outcome: JOB_OUTCOMES },
  )
  const failures = registry.counter(
    'reembed_job_failures_total',
    'Attempts of jobs that failed, by error code.',
    { code: ERROR_CODES },
  )
  const active = registry.gauge('reembed_jobs_active', 'Jobs under way in this worker.', {})
  const room = registry.gauge('reembed_jobs_concurrency', 'Jobs that this worker takes at once.', {})
  const jobSeconds = registry.histogram(
    'reembed_job_duration_seconds',
    'From taking a job to its shard in the store.',
    JOB_SECONDS,
  )
  const shards = registry.counter(
    'reembed_shards_total',
    'Shards by outcome: put, or found put by another before or after embedding.',
    { outcome: ['put', 'already_exists', 'already_done'] },
  )
  const bytes = registry.counter('reembed_shard_bytes_total', 'Bytes of shards put.', {})
  const documents = registry.counter(
    'reembed_documents_total',
    'Documents of shards put, rejects included.',
    {},
  )
  const rejects = registry.counter('reembed_rejects_total', 'Rejects in shards put, by reason.', {
    reason: MAX_REASONS,
  })
  const tokens = registry.counter(
    'reembed_tokens_total',
    'Tokens that the endpoint counted in its replies.',
    {},
  )
  const texts = registry.counter(
    'reembed_texts_total',
    'Texts that came back as vectors, canaries included.',
    {},
  )
  const requests = registry.counter('reembed_requests_total', 'HTTP requests to the endpoint by outcome.', {
    outcome: OUTCOMES,
  })
  const requestSeconds = registry.histogram(
    'reembed_request_duration_seconds',
    'Answered requests, from sending to the last byte.',
    REQUEST_SECONDS,
  )
  const queueSeconds = registry.histogram(
    'reembed_endpoint_queue_seconds',
    "Mean time of a request's texts in the endpoint's own queue, where it says.",
    REQUEST_SECONDS,
  )
  const limit = registry.gauge(
    'reembed_limiter_limit_inputs',
    'Texts that this worker may have in flight at its endpoint.',
    {},
  )
  const inFlight = registry.gauge(
    'reembed_limiter_inflight_inputs',
    'Texts that this worker has in flight at its endpoint.',
    {},
  )
  const replicas = registry.gauge(
    'reembed_endpoint_replicas',
    'Replicas of the endpoint by state; quarantined: serves another model.',
    { state: REPLICA_STATES },
  )
  const faults = registry.counter(
    'reembed_store_transient_errors_total',
    'Calls to the store that failed in a passing way and are tried again.',
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
        const counts = read()
        if (counts) for (const state of REPLICA_STATES) replicas.set(counts[state], { state })
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
