// Metrics of the newest runs of each output. Reading them costs LISTs of the store, so they are
// polled at an interval, and scrapes get the last result; a finished run is read once.

import { setTimeout as wait } from 'node:timers/promises'
import {
  countPresent,
  type Manifest,
  type Plan,
  readCurrent,
  readManifest,
  readPlan,
  readSeq,
  shardsPresent,
} from '@reembed/protocol'
import type { QueueReader } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Logger, Registry } from '@reembed/telemetry'

/** Runs of each output that have metrics, newest first: this bounds the labels. */
const RUNS = 5
const MAX_OUTPUTS = 20
const POLL_MS = 30_000

interface RunSnapshot {
  readonly plan: Plan
  readonly manifest: Manifest | undefined
  readonly done: number
  readonly documents: number
  readonly rejects: number
  readonly tokens: number
}

/** Declares the run metrics and polls the stores until the signal fires. */
export async function pollRunMetrics(
  registry: Registry,
  stores: readonly Store[],
  watch: QueueReader,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): Promise<void> {
  const labels = { output: MAX_OUTPUTS, run: MAX_OUTPUTS * RUNS }
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
  const closed = new Map<string, RunSnapshot>()

  async function readSnapshot(store: Store, run: string): Promise<RunSnapshot | undefined> {
    const name = `${store.url} ${run}`
    const known = closed.get(name)
    if (known) return known
    const plan = await readPlan(store, run)
    if (plan === undefined) return undefined
    const manifest = await readManifest(store, run)
    if (manifest) {
      const { documents: all, rejects: none, tokens: counted } = manifest.totals
      const snapshot = {
        plan,
        manifest,
        done: plan.shards,
        documents: all,
        rejects: none,
        tokens: counted ?? 0,
      }
      closed.set(name, snapshot)
      return snapshot
    }
    const present = countPresent(await shardsPresent(store, plan))
    const progress = await watch.progress(run).catch(() => undefined)
    return {
      plan,
      manifest,
      done: present,
      documents: (progress?.documents ?? 0) + (progress?.openDocuments ?? 0),
      rejects: progress?.rejects ?? 0,
      tokens: progress?.tokens ?? 0,
    }
  }

  async function poll(): Promise<void> {
    const seen: [Store, RunSnapshot][] = []
    for (const store of stores) {
      const current = await readCurrent(store)
      for (const { run } of (await readSeq(store)).slice(0, RUNS)) {
        const found = await readSnapshot(store, run)
        if (found) seen.push([store, found])
      }
      version.set(current?.version ?? 0, { output: store.url })
      readAt.set(Date.now() / 1000, { output: store.url })
    }
    for (const gauge of [shards, done, estimated, documents, rejects, tokens, finished]) gauge.clear()
    for (const [{ url: output }, one] of seen) {
      const of = { output, run: one.plan.run }
      shards.set(one.plan.shards, of)
      done.set(one.done, of)
      estimated.set(one.manifest?.totals.documents ?? one.plan.estimatedDocuments, of)
      documents.set(one.documents, of)
      rejects.set(one.rejects, of)
      tokens.set(one.tokens, of)
      finished.set(one.manifest ? 1 : 0, of)
    }
  }

  while (!signal.aborted) {
    await poll().catch(error => log.warn({}, `run metrics not updated: ${messageOf(error)}`))
    await wait(POLL_MS, undefined, { signal }).catch(() => {})
  }
}
