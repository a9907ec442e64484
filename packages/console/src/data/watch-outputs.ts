// The one poll behind all pages: ten readers cost as much as one. The store is read as often as the
// exporter reads it; between two reads, Redis alone is asked about unfinished runs.

import { setTimeout as wait } from 'node:timers/promises'
import { createFactsReader, describeRun, type QueueView, type RunFacts, type RunStatus } from '@reembed/producer'
import { readCurrent, type Version } from '@reembed/protocol'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { createHistoryKeeper, type History, historyKey } from './samples.ts'

/** What the console last read of an output. */
export interface OutputState {
  readonly store: Store
  /** Newest first. */
  readonly runs: readonly WatchedRun[]
  readonly current: Version | undefined
  /** When the store was last read; undefined before the first time. */
  readonly readMs: number | undefined
  /** Why the store does not answer; what is shown is then of `readMs`. */
  readonly problem: string | undefined
}

export interface WatchedRun {
  readonly status: RunStatus
  readonly facts: RunFacts
}

export interface OutputsWatch {
  readonly outputs: readonly OutputState[]
  history(output: string, run: string): History
  /** Calls `listener` after each poll. Returns how to stop. */
  subscribe(listener: () => void): () => void
  /** Polls the stores and Redis now, or waits for the poll in progress. */
  refresh(): Promise<void>
}

export interface WatchOptions {
  /** A text: why Redis does not answer; undefined: the console has no Redis. */
  readonly queue: QueueView | string | undefined
  readonly signal: AbortSignal
  /** Time between two reads of the stores. Default 30,000. */
  readonly storePollMs?: number | undefined
  /** Time between two reads of Redis. Default 5,000. */
  readonly redisPollMs?: number | undefined
}

/** Runs of each output that are watched, newest first: as many as the exporter has metrics of. */
const RUNS = 5
const STORE_POLL_MS = 30_000
const REDIS_POLL_MS = 5_000

/** Watches the newest runs of the outputs until the signal fires. */
export function watchOutputs(
  stores: readonly Store[],
  { queue, signal, storePollMs = STORE_POLL_MS, redisPollMs = REDIS_POLL_MS }: WatchOptions,
): OutputsWatch & { readonly ended: Promise<void> } {
  const keeper = createHistoryKeeper()
  const readers = stores.map(store => createFactsReader(store, queue))
  const outputs: OutputState[] = stores.map(store => ({
    store,
    runs: [],
    current: undefined,
    readMs: undefined,
    problem: undefined,
  }))
  const listeners = new Set<() => void>()

  async function readStore(i: number): Promise<void> {
    const [before, reader] = [outputs[i], readers[i]]
    if (before === undefined || reader === undefined) return
    try {
      const facts = await reader.newest(RUNS)
      const current = facts[0]?.current ?? (await readCurrent(before.store))
      outputs[i] = { ...before, runs: facts.map(watched), current, readMs: Date.now(), problem: undefined }
    } catch (error) {
      outputs[i] = { ...before, problem: messageOf(error) }
    }
  }

  async function readQueue(i: number): Promise<void> {
    const [before, reader] = [outputs[i], readers[i]]
    if (before === undefined || reader === undefined) return
    const runs: WatchedRun[] = []
    for (const run of before.runs) {
      const facts = await reader.withQueue(run.facts)
      runs.push(facts === run.facts ? run : watched(facts))
    }
    outputs[i] = { ...before, runs }
  }

  function record(): void {
    const known = new Set<string>()
    for (const { store, runs } of outputs) {
      for (const { status } of runs) {
        known.add(historyKey(store.url, status.run))
        keeper.add(store.url, status, Date.now())
      }
    }
    keeper.retain(known)
    for (const listener of listeners) listener()
  }

  let dueMs = 0
  let polling: Promise<void> | undefined
  function poll(): Promise<void> {
    polling ??= (async () => {
      const isDue = Date.now() >= dueMs
      if (isDue) dueMs = Date.now() + storePollMs
      await Promise.all(outputs.map((_, i) => (isDue ? readStore(i) : readQueue(i))))
      record()
    })().finally(() => {
      polling = undefined
    })
    return polling
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await poll()
      await wait(Math.min(redisPollMs, storePollMs), undefined, { signal }).catch(() => {})
    }
  }

  return {
    outputs,
    history: keeper.of,
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async refresh() {
      await polling
      dueMs = 0
      await poll()
    },
    ended: run(),
  }
}

const watched = (facts: RunFacts): WatchedRun => ({ facts, status: describeRun(facts, Date.now()) })
