// Metrics of the newest runs of each output. Reading them costs LISTs of the store, so they are
// polled at an interval, and scrapes get the last result; a finished run is read once. Redis alone
// knows the runs that are being planned: it is read on each scrape, as planning may take seconds.

import { setTimeout as wait } from 'node:timers/promises'
import { readCurrent } from '@reembed/protocol'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Logger, Registry } from '@reembed/telemetry'
import { RUN_STATES, type RunStatus, STATE_REASONS } from '../run-status/describe.ts'
import type { QueueView } from '../run-status/facts.ts'
import { readPlanningStatus } from '../run-status/planning.ts'
import { createRunsReader } from '../run-status/run-status.ts'

/** Runs of each output that have metrics, newest first: this bounds the labels. */
const RUNS = 5
const MAX_OUTPUTS = 20
const POLL_MS = 30_000

/** Sets the gauges of a run; `clear` forgets all runs. */
interface RunGauges {
  set(of: { readonly output: string; readonly run: string }, status: RunStatus): void
  /** A run is being planned for the output. It has no id yet. */
  setPlanning(output: string): void
  clear(): void
}

function declareRunGauges(registry: Registry): RunGauges {
  const labels = { output: MAX_OUTPUTS, run: MAX_OUTPUTS * RUNS + 1 }
  const shards = registry.gauge('reembed_run_shards', 'Shards of a run, by its plan.', labels)
  const done = registry.gauge('reembed_run_shards_done', 'Shards of a run that the store holds.', labels)
  const estimated = registry.gauge(
    'reembed_run_documents',
    'Documents of a run: estimated by its plan, exact when finished.',
    labels,
  )
  const documents = registry.gauge(
    'reembed_run_documents_done',
    'Documents in finished shards; of an open run only those since Redis started.',
    labels,
  )
  const rejects = registry.gauge(
    'reembed_run_rejects',
    'Rejects in finished shards; of an open run only those since Redis started.',
    labels,
  )
  const tokens = registry.gauge(
    'reembed_run_tokens',
    'Tokens of finished shards; of an open run only those since Redis started.',
    labels,
  )
  const finished = registry.gauge(
    'reembed_run_finished',
    'Whether a run is finished, its receipts balanced (1).',
    labels,
  )
  const state = registry.gauge(
    'reembed_run_state',
    'State of a run (1) with its reason; other states are absent. The label run is empty before a run is planned.',
    { ...labels, state: RUN_STATES, reason: ['none', ...STATE_REASONS] },
  )
  const progressAt = registry.gauge(
    'reembed_run_last_progress_timestamp_seconds',
    'When the last shard of a run was put, or when it was planned, in Unix seconds.',
    labels,
  )
  const gauges = [shards, done, estimated, documents, rejects, tokens, finished, state, progressAt]
  return {
    set(of, status) {
      const { totals, queue } = status
      shards.set(status.shards, of)
      done.set(status.shardsDone, of)
      estimated.set(status.documents, of)
      documents.set(status.documentsDone, of)
      rejects.set(totals?.rejects ?? queue?.progress.rejects ?? 0, of)
      tokens.set(totals?.tokens ?? queue?.progress.tokens ?? 0, of)
      finished.set(totals ? 1 : 0, of)
      state.set(1, { ...of, state: status.state, reason: status.reason ?? 'none' })
      if (status.lastProgressMs !== undefined) progressAt.set(status.lastProgressMs / 1000, of)
    },
    setPlanning(output) {
      state.set(1, { output, run: '', state: 'planning', reason: 'none' })
    },
    clear() {
      for (const gauge of gauges) gauge.clear()
    },
  }
}

/** Declares the run metrics and polls the stores until the signal fires. */
export async function pollRunMetrics(
  registry: Registry,
  stores: readonly Store[],
  watch: QueueView,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  const gauges = declareRunGauges(registry)
  const version = registry.gauge(
    'reembed_current_version',
    'Number of the current version of an output; 0 before the first.',
    { output: MAX_OUTPUTS },
  )
  const readAt = registry.gauge(
    'reembed_store_last_read_timestamp_seconds',
    'When the runs of an output were last read, in Unix seconds.',
    { output: MAX_OUTPUTS },
  )
  const readers = stores.map(store => ({ store, read: createRunsReader(store, watch) }))

  let seen: readonly (readonly [output: string, RunStatus])[] = []

  registry.collect(async () => {
    const planning = await Promise.all(stores.map(store => readPlanningStatus(store, watch)))
    gauges.clear()
    for (const [output, status] of seen) gauges.set({ output, run: status.run }, status)
    for (const [i, { url }] of stores.entries()) if (planning[i]?.length) gauges.setPlanning(url)
  })

  async function poll(): Promise<void> {
    const found: [string, RunStatus][] = []
    for (const { store, read } of readers) {
      for (const status of await read(RUNS)) found.push([store.url, status])
      version.set((await readCurrent(store))?.version ?? 0, { output: store.url })
      readAt.set(Date.now() / 1000, { output: store.url })
    }
    seen = found
  }

  while (!signal.aborted) {
    await poll().catch(error => log.warn({}, `run metrics not updated: ${messageOf(error)}`))
    await wait(POLL_MS, undefined, { signal }).catch(() => {})
  }
}
