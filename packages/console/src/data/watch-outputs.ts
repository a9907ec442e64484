// The one poll behind all pages: ten readers cost as much as one. A bucket is read as often as
// the exporter reads it; between two reads, Redis alone is asked about unfinished runs.

import { setTimeout as wait } from 'node:timers/promises'
import {
  createFactsReader,
  describeRun,
  type PlanningStatus,
  type QueueView,
  type RunFacts,
  type RunStatus,
  readPlanningStatus,
} from '@reembed/producer'
import { readCurrent, type Version } from '@reembed/protocol'
import type { QueueReader } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { createHistoryKeeper, type History, historyKey } from './samples.ts'

/** What the console last read of an output. */
export interface OutputState {
  readonly store: Store
  /** Newest first. */
  readonly runs: readonly WatchedRun[]
  /** Runs that are being planned. */
  readonly planning: readonly PlanningStatus[]
  readonly current: Version | undefined
  /** When the store was last read; undefined before the first time. */
  readonly readMs: number | undefined
  /** Why the store does not answer; what is shown is then of `readMs`. */
  readonly problem: string | undefined
}

export interface WatchedRun {
  readonly status: RunStatus
  readonly facts: RunFacts
  /** Shards that workers embed. */
  readonly active: readonly number[]
  /** Jobs without attempts left, newest first. */
  readonly failed: readonly { readonly shard: number; readonly reason: string }[]
}

/** The part of the queue that the console reads. */
export type ConsoleQueue = QueueView & Pick<QueueReader, 'openShards' | 'attempts'>

export interface OutputsWatch {
  readonly outputs: readonly OutputState[]
  history(output: string, run: string): History
  /** Reads every output now, after an action. */
  refresh(): Promise<void>
  /** Calls `listener` after each poll. Returns how to stop. */
  subscribe(listener: () => void): () => void
}

export interface WatchOptions {
  /** Undefined: the console has no Redis. */
  readonly queue: ConsoleQueue | undefined
  readonly signal: AbortSignal
  /** Time between two reads of Redis, and of outputs in folders. Default 5,000. */
  readonly pollMs?: number | undefined
}

/** Runs of each output that are watched, newest first: as many as the exporter has metrics of. */
const RUNS = 5
/** Failed shards that the map shows; the job of each is read. */
const MAX_FAILURES = 200
const POLL_MS = 5_000
/** Polls between two reads of a store that is no folder: a LIST there costs money. */
const POLLS_PER_READ = 6
/** A store that takes long to read, as of 100,000 shards, is read for this share of the time. */
const READ_SHARE = 0.1
/** Reads that are not slow. */
const QUICK_MS = 500

/** Watches the newest runs of the outputs until the signal fires. */
export function watchOutputs(
  stores: readonly Store[],
  { queue, signal, pollMs = POLL_MS }: WatchOptions,
): OutputsWatch {
  const keeper = createHistoryKeeper()
  const readers = stores.map(store => createFactsReader(store, queue))
  const outputs: OutputState[] = stores.map(store => ({
    store,
    runs: [],
    planning: [],
    current: undefined,
    readMs: undefined,
    problem: undefined,
  }))
  const listeners = new Set<() => void>()
  /** Until when a store that was slow to read is not read again. */
  const restsUntilMs = stores.map(() => 0)

  async function readStore(i: number): Promise<void> {
    const [before, reader] = [outputs[i], readers[i]]
    if (before === undefined || reader === undefined) return
    const startMs = performance.now()
    try {
      const facts = await reader.newest(RUNS)
      const current = facts[0]?.current ?? (await readCurrent(before.store))
      const runs = await Promise.all(facts.map(one => watched(before.store.url, one)))
      const planning = await readPlanningStatus(before.store, queue)
      outputs[i] = { ...before, runs, planning, current, readMs: Date.now(), problem: undefined }
      const endMs = performance.now()
      const tookMs = endMs - startMs
      restsUntilMs[i] = tookMs < QUICK_MS ? 0 : endMs + tookMs / READ_SHARE
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
      runs.push(facts === run.facts ? run : await watched(before.store.url, facts))
    }
    outputs[i] = { ...before, runs, planning: await readPlanningStatus(before.store, queue) }
  }

  async function watched(output: string, facts: RunFacts): Promise<WatchedRun> {
    const status = describeRun(facts, Date.now())
    const known = status.queue
    if (queue === undefined || known === undefined || facts.manifest)
      return { facts, status, active: [], failed: [] }
    const of = { output, run: facts.run }
    // Redis may be lost between two commands: the map then shows what the store holds.
    const active = await queue.openShards(of).catch(() => new Map<number, number>())
    const failed =
      known.jobs.failed > known.failures.length
        ? await queue.failures(of, MAX_FAILURES).catch(() => known.failures)
        : known.failures
    return { facts, status, active: [...active.keys()], failed }
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

  let polls = 0
  let polling: Promise<void> | undefined
  function poll(): Promise<void> {
    polling ??= (async () => {
      const isDue = polls % POLLS_PER_READ === 0
      polls += 1
      const isRead = ({ store, problem }: OutputState, i: number): boolean =>
        problem !== undefined ||
        ((isDue || !store.url.includes('://')) && performance.now() >= (restsUntilMs[i] ?? 0))
      await Promise.all(outputs.map((output, i) => (isRead(output, i) ? readStore(i) : readQueue(i))))
      record()
    })().finally(() => {
      polling = undefined
    })
    return polling
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await poll()
      await wait(pollMs, undefined, { signal }).catch(() => {})
    }
  }

  void run()
  return {
    outputs,
    history: keeper.of,
    async refresh() {
      // The poll in progress may have read before the action.
      await polling
      polls = 0
      restsUntilMs.fill(0)
      await poll()
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
