// The trace of a job. It starts when the job is added; the job's options carry the context, as in
// BullMQ's own telemetry, and each attempt continues it. bullmq-otel is not used: it makes one
// trace per run, and a span per poll.

import { type Attributes, tracing } from '@reembed/telemetry'
import type { Job } from './job.ts'
import { jobId, QUEUE } from './names.ts'

type Telemetry = { readonly telemetry: { readonly metadata: string } }

/** Calls `add` with the trace options of each job. */
export async function tracedAdd(
  jobs: readonly Job[],
  add: (telemetry: readonly Telemetry[]) => Promise<unknown>,
): Promise<void> {
  const tracer = tracing()
  if (tracer === undefined) {
    await add([])
    return
  }
  const spans = jobs.map(job =>
    tracer.start(`enqueue ${QUEUE}`, { kind: 'producer', attributes: attributesOf(job, 'enqueue', 'send') }),
  )
  try {
    await add(spans.map(({ headers }) => ({ telemetry: { metadata: JSON.stringify(headers) } })))
  } catch (error) {
    for (const span of spans) span.fail('enqueue_failed', 'Redis refused the job or did not answer')
    throw error
  } finally {
    for (const span of spans) span.end()
  }
}

/** Runs an attempt of a job within the trace of `traceContext`, if any. */
export function tracedAttempt(
  job: Job,
  { traceContext = '', attempt }: { readonly traceContext: string | undefined; readonly attempt: number },
  run: () => Promise<void>,
): Promise<void> {
  const tracer = tracing()
  if (tracer === undefined) return run()
  const span = tracer.start(`process ${QUEUE}`, {
    kind: 'consumer',
    attributes: { ...attributesOf(job, 'process', 'process'), 'reembed.attempt': attempt },
    remoteParent: traceContext,
  })
  return tracer.within(span, run)
}

const attributesOf = (job: Job, operation: string, type: string): Attributes => ({
  'messaging.system': 'bullmq',
  'messaging.operation.name': operation,
  'messaging.operation.type': type,
  'messaging.destination.name': QUEUE,
  'messaging.message.id': jobId(job),
  'reembed.run': job.run,
  'reembed.shard': job.shard,
})
