// Metrics of the queue, Redis and workers, read on each scrape: a few commands of constant cost.

import { QUEUE_STATES, type QueueReader } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import type { Registry } from '@reembed/telemetry'

export interface QueueMetrics {
  /** Reads the metrics; concurrent calls share a read. Resolves to why it failed, or null. */
  read(): Promise<string | null>
}

/**
 * Declares the queue metrics, read on each scrape. While Redis does not answer they are absent, and
 * `reembed_redis_up` is 0.
 */
export function registerQueueMetrics(registry: Registry, watch: QueueReader): QueueMetrics {
  const up = registry.gauge('reembed_redis_up', 'Whether Redis answers (1) or not (0).', {})
  const used = registry.gauge('reembed_redis_memory_used_bytes', 'Memory that Redis uses, in bytes.', {})
  const max = registry.gauge(
    'reembed_redis_memory_max_bytes',
    'Memory that Redis may use, in bytes; 0: unlimited.',
    {},
  )
  const noEviction = registry.gauge(
    'reembed_redis_noeviction',
    'Whether Redis never evicts keys (1), as a queue needs.',
    {},
  )
  const jobs = registry.gauge(
    'reembed_queue_jobs',
    "Jobs on the queue by state; 'failed' used up their attempts.",
    { state: QUEUE_STATES },
  )
  const backlog = registry.gauge(
    'reembed_queue_backlog',
    'Jobs that need workers: wait + ready + active, and one if any is delayed.',
    {},
  )
  const paused = registry.gauge('reembed_queue_paused', 'Whether the queue is paused (1).', {})
  const oldest = registry.gauge(
    'reembed_queue_oldest_waiting_seconds',
    'Seconds since the next job was enqueued; 0 when none waits.',
    {},
  )
  const overdue = registry.gauge(
    'reembed_queue_overdue_jobs',
    'Delayed jobs that are due; only a running worker moves them to wait.',
    {},
  )
  const overdueSeconds = registry.gauge(
    'reembed_queue_overdue_seconds',
    'Seconds since the first overdue job was due.',
    {},
  )
  const workers = registry.gauge('reembed_workers', 'Workers with a heartbeat in the last 15 s.', {})
  let reading: Promise<string | null> | undefined

  async function readAll(): Promise<void> {
    const facts = await watch.redis()
    const [depth, states] = await Promise.all([watch.depth(), watch.workers()])
    up.set(1, {})
    used.set(facts.usedBytes, {})
    max.set(facts.maxBytes, {})
    noEviction.set(facts.evictionPolicy === 'noeviction' ? 1 : 0, {})
    for (const state of QUEUE_STATES) jobs.set(depth.jobs[state], { state })
    const { wait, ready, active, delayed } = depth.jobs
    backlog.set(wait + ready + active + (delayed > 0 ? 1 : 0), {})
    paused.set(depth.paused ? 1 : 0, {})
    oldest.set((depth.oldestWaitingMs ?? 0) / 1000, {})
    overdue.set(depth.overdue, {})
    overdueSeconds.set(depth.overdueMs / 1000, {})
    workers.set(states.length, {})
  }

  async function read(): Promise<string | null> {
    try {
      await readAll()
      return null
    } catch (cause) {
      // Stale figures would look like a queue that makes no progress.
      const stale = [used, max, noEviction, jobs, backlog, paused, oldest, overdue, overdueSeconds, workers]
      for (const gauge of stale) gauge.clear()
      up.set(0, {})
      return messageOf(cause)
    }
  }

  const share = (): Promise<string | null> => {
    reading ??= read().finally(() => {
      reading = undefined
    })
    return reading
  }
  registry.collect(async () => {
    await share()
  })
  return { read: share }
}
