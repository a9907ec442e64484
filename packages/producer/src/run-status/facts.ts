// The facts about a run, from the store and, if the caller has a queue, from Redis. describe.ts
// turns them into the status; it reads nothing itself, so that every state has a table test.

import {
  type GateReport,
  getGateReport,
  type Manifest,
  type NumberedRunState,
  type Plan,
  readManifest,
  readPlan,
  readRunStateRecord,
  readSeq,
  readVersions,
  type SeqEntry,
  type Version,
} from '@reembed/protocol'
import {
  type FailedJob,
  type PlanningEntry,
  type QueueCounts,
  type RunPointer,
  type RunProgress,
  servesOutput,
  type WorkerState,
} from '@reembed/queue'
import { gatesKey, messageOf, shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'

/** The part of a queue that the status reads. */
export interface QueueView {
  counts(of: RunPointer): Promise<QueueCounts>
  progress(of: RunPointer): Promise<RunProgress>
  workers(): Promise<readonly WorkerState[]>
  failures(of: RunPointer, limit: number): Promise<readonly FailedJob[]>
  /** The runs that are being planned for an output. */
  planning(output: string): Promise<readonly PlanningEntry[]>
}

/** What Redis knows about a run. */
export interface QueueFacts {
  /** Jobs of this run. */
  readonly jobs: QueueCounts
  /** Counted since Redis started. */
  readonly progress: RunProgress
  /** Workers with a recent heartbeat that serve the output. */
  readonly workers: readonly WorkerState[]
  /** Workers with a recent heartbeat that serve other outputs only. */
  readonly otherWorkers: number
  /** The newest jobs of this run that used up their attempts. */
  readonly failures: readonly { readonly shard: number; readonly reason: string }[]
}

/** Whether a worker can embed: its heartbeat has the state of its endpoint, or its own fault. */
export const isWorking = ({ endpoint }: Pick<WorkerState, 'endpoint'>): boolean =>
  /^(ok|not used yet|idle|overloaded)/.test(endpoint)

/** A version with the time at which it was published, in Unix milliseconds. */
export type DatedVersion = Version & { readonly publishedMs?: number | undefined }

/** The shards of a run in the store. */
export interface ShardFacts {
  readonly done: number
  /** One byte for each shard of an unfinished run: 1 where the store has it. */
  readonly present?: Uint8Array | undefined
  /** When the newest one was put. */
  readonly lastMs?: number | undefined
  /** Number of shards put in the last `RECENT_MS`, and when the first of them was. */
  readonly recent: number
  readonly recentSinceMs?: number | undefined
}

export interface RunFacts {
  readonly run: string
  readonly seq: number
  /** When the run took its sequence number. */
  readonly plannedMs?: number | undefined
  /** Undefined while the run is being planned, and after it was deleted. */
  readonly plan?: Plan | undefined
  readonly manifest?: Manifest | undefined
  readonly record: NumberedRunState
  readonly current?: DatedVersion | undefined
  /** The newest version of this run. */
  readonly version?: DatedVersion | undefined
  /** The gate results against the current version. */
  readonly gates?: GateReport | undefined
  readonly shards: ShardFacts
  /** A text: why Redis does not answer. Undefined without a queue. */
  readonly queue?: QueueFacts | string | undefined
}

/** Shards of this time give the rate. */
export const RECENT_MS: number = 10 * 60_000
const FAILURES_SHOWN = 5

/** Reads facts about the runs of an output. Objects that never change are read once. */
export interface FactsReader {
  one(entry: SeqEntry): Promise<RunFacts>
  /** The runs with the highest sequence numbers, newest first. */
  newest(limit: number): Promise<RunFacts[]>
  /** The same facts, with what Redis knows now. Asks Redis only, about an unfinished run only. */
  withQueue(facts: RunFacts): Promise<RunFacts>
}

/** @param queue a text: why Redis does not answer; undefined: the caller has no queue */
export function createFactsReader(store: Store, queue: QueueView | string | undefined): FactsReader {
  const plans = new Map<string, Plan>()
  const manifests = new Map<string, Manifest>()

  async function once<T>(known: Map<string, T>, run: string, read: () => Promise<T | undefined>) {
    const value = known.get(run) ?? (await read())
    if (value !== undefined) known.set(run, value)
    return value
  }

  async function read(
    { run, seq, plannedMs }: SeqEntry,
    versions: readonly DatedVersion[],
    isAlone = false,
  ): Promise<RunFacts> {
    const [record, plan, manifest] = await Promise.all([
      readRunStateRecord(store, run),
      once(plans, run, () => readPlan(store, run)),
      once(manifests, run, () => readManifest(store, run)),
    ])
    const [current] = versions
    const isOpen = plan !== undefined && manifest === undefined
    return {
      run,
      seq,
      plannedMs,
      plan,
      manifest,
      record,
      current,
      version: versions.find(version => version.run === run),
      gates:
        manifest && plan?.gates?.length && current?.run !== run
          ? await getGateReport(store, gatesKey(run, current?.run))
          : undefined,
      shards: isOpen ? await readShardFacts(store, plan) : { done: plan?.shards ?? 0, recent: 0 },
      // In a list only unfinished runs: a list of many runs asks Redis little.
      queue: isOpen || isAlone ? await readQueueFacts(queue, { output: store.url, run }) : undefined,
    }
  }

  return {
    async one(entry) {
      return read(entry, await versionsSince(store, entry.seq), true)
    },
    async newest(limit) {
      const entries = await plannedEntries(limit)
      for (const known of [plans, manifests])
        for (const run of known.keys()) if (!entries.some(entry => entry.run === run)) known.delete(run)
      const versions = await versionsSince(store, entries.at(-1)?.seq ?? 0)
      const facts: RunFacts[] = []
      for (const entry of entries) facts.push(await read(entry, versions))
      return facts
    },
    async withQueue(facts) {
      if (facts.plan === undefined || facts.manifest !== undefined) return facts
      return { ...facts, queue: await readQueueFacts(queue, { output: store.url, run: facts.run }) }
    },
  }

  /** A run has several sequence numbers after a rollback: its plan has the first of them. */
  async function plannedEntries(limit: number): Promise<SeqEntry[]> {
    const planned: SeqEntry[] = []
    for (const entry of await readSeq(store)) {
      if (planned.length === limit) break
      const plan = await once(plans, entry.run, () => readPlan(store, entry.run))
      if (plan ? plan.seq === entry.seq : isRecent(entry)) planned.push(entry)
    }
    return planned
  }
}

/** A sequence number without a plan is that of a run being planned, if it is recent. */
const PLANNING_MS = 15 * 60_000
const isRecent = ({ plannedMs = 0 }: SeqEntry): boolean => Date.now() - plannedMs < PLANNING_MS

/** The current version, and all versions that a run with this sequence number can have. */
async function versionsSince(store: Store, seq: number): Promise<DatedVersion[]> {
  const versions: DatedVersion[] = []
  // A version has the sequence number of its run, or a higher one after a rollback.
  for await (const version of readVersions(store)) {
    if (versions.length > 0 && version.seq < seq) break
    versions.push(version)
  }
  return versions
}

async function readShardFacts(store: Store, plan: Plan): Promise<ShardFacts> {
  const sinceMs = Date.now() - RECENT_MS
  const present = new Uint8Array(plan.shards)
  let [lastMs, recentSinceMs]: (number | undefined)[] = []
  let [done, recent] = [0, 0]
  for await (const { key, modifiedMs } of store.list(shardPrefix(plan.run))) {
    const shard = shardOfKey(key, plan.run, plan.shards)
    if (shard === undefined) continue
    if (present[shard] === 0) done += 1
    present[shard] = 1
    if (modifiedMs === undefined) continue
    lastMs = Math.max(lastMs ?? 0, modifiedMs)
    if (modifiedMs < sinceMs) continue
    recent += 1
    recentSinceMs = Math.min(recentSinceMs ?? modifiedMs, modifiedMs)
  }
  return { done, present, lastMs, recent, recentSinceMs }
}

async function readQueueFacts(
  queue: QueueView | string | undefined,
  of: RunPointer,
): Promise<QueueFacts | string | undefined> {
  if (queue === undefined || typeof queue === 'string') return queue
  try {
    const [jobs, progress, workers, failures] = await Promise.all([
      queue.counts(of),
      queue.progress(of),
      queue.workers(),
      queue.failures(of, FAILURES_SHOWN),
    ])
    const serving = workers.filter(({ outputs }) => servesOutput(outputs, of.output))
    return {
      jobs,
      progress,
      workers: serving,
      otherWorkers: workers.length - serving.length,
      failures: failures.map(({ shard, reason }) => ({ shard, reason })),
    }
  } catch (error) {
    return messageOf(error)
  }
}
