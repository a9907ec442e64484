// What the page of a run shows beyond its status. Everything that costs requests is read once per
// run, or once per change of it, for all readers together.

import { type FoundReject, readRejects } from '@reembed/evaluate'
import {
  listVersions,
  newestLoadRecord,
  type PublishedVersion,
  type RunFacts,
  readStoreTargets,
  type StoreTarget,
} from '@reembed/producer'
import { type Manifest, readRunStates } from '@reembed/protocol'
import { createMemo, LIMITS, shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { RunEvent } from './samples.ts'
import { cellsOf, type FinishedShards, readFinishedShards, type ShardCells } from './shard-cells.ts'
import { readVersionFigures, type VersionFigures } from './version-figures.ts'

/** Documents and tokens of the shards that were put in one stretch of time. */
export interface RatePoint {
  readonly atMs: number
  readonly documents: number
  readonly tokens: number
}

export interface RejectSample {
  readonly reason: string
  readonly rejects: readonly FoundReject[]
}

export interface RunDetails {
  /** The map of the shards of a finished run. */
  cells(store: Store, manifest: Manifest): Promise<ShardCells>
  /** Documents and tokens by the time at which the store got their shard, oldest first. */
  rates(store: Store, manifest: Manifest): Promise<readonly RatePoint[]>
  /** Planned, state records and versions, oldest first. */
  recorded(store: Store, facts: RunFacts): Promise<readonly RunEvent[]>
  /** The first rejects of each reason. Reads receipts until each reason has its samples. */
  rejectSamples(store: Store, run: string, reasons: readonly string[]): Promise<readonly RejectSample[]>
  versions(store: Store, current: number | undefined): Promise<readonly PublishedVersion[]>
  /** Scores and cost of the newest versions, oldest first. */
  versionFigures(store: Store, current: number | undefined): Promise<readonly VersionFigures[]>
  /** Where the runs of an output are besides it. One LIST while no record is new. */
  storeTargets(store: Store): Promise<readonly StoreTarget[]>
}

const KEPT = 20
/**
 * Runs whose map and rates are kept, a few kilobytes each: as many as pages may be open. With
 * fewer, the open pages of large runs would evict each other's, and read whole manifests at each
 * poll.
 */
const KEPT_MAPS = LIMITS.eventReaders
const SAMPLES_PER_REASON = 3
/** Rejects that are read at most before the search for samples of rare reasons ends. */
const MAX_REJECTS_READ = 2_000
const MAX_RECORDS = 50
const RATE_POINTS = 120

export function createRunDetails(): RunDetails {
  const cells = createMemo<string, ShardCells>({ max: KEPT_MAPS })
  const rates = createMemo<string, readonly RatePoint[]>({ max: KEPT_MAPS })
  const recorded = createMemo<string, readonly RunEvent[]>({ max: KEPT })
  const rejects = createMemo<string, readonly RejectSample[]>({ max: KEPT })
  const versions = createMemo<string, readonly PublishedVersion[]>({ max: KEPT })
  const targets = createMemo<string, readonly StoreTarget[]>({ max: KEPT })
  const figures = createMemo<string, readonly VersionFigures[]>({ max: KEPT })

  /** Readings in progress: what has bytes for each shard is not kept beyond them. */
  const reading = new Map<string, Promise<FinishedShards>>()
  const finished = (store: Store, manifest: Manifest): Promise<FinishedShards> => {
    const key = `${store.url} ${manifest.run}`
    const shards = reading.get(key) ?? readFinishedShards(store, manifest).finally(() => reading.delete(key))
    reading.set(key, shards)
    return shards
  }

  const details: RunDetails = {
    cells: (store, manifest) =>
      cells.get(`${store.url} ${manifest.run}`, async () =>
        cellsOf((await finished(store, manifest)).states),
      ),
    rates: (store, manifest) =>
      rates.get(`${store.url} ${manifest.run}`, async () =>
        readRates(store, manifest, await finished(store, manifest)),
      ),
    recorded: (store, facts) => {
      const { run, record, current } = facts
      return recorded.get(`${store.url} ${run} ${record.number} ${current?.version}`, async () =>
        readRecorded(store, facts, await details.versions(store, current?.version)),
      )
    },
    rejectSamples: (store, run, reasons) =>
      rejects.get(`${store.url} ${run} ${reasons.join()}`, () => readSamples(store, run, reasons)),
    versions: (store, current) =>
      current === undefined
        ? Promise.resolve([])
        : versions.get(`${store.url} ${current}`, () => listVersions(store)),
    versionFigures: (store, current) =>
      figures.get(`${store.url} ${current}`, async () =>
        readVersionFigures(store, await details.versions(store, current)),
      ),
    async storeTargets(store) {
      const newest = await newestLoadRecord(store)
      if (newest === undefined) return []
      return targets.get(`${store.url} ${newest}`, () => readStoreTargets(store))
    },
  }
  return details
}

/** Lists the shards: a bucket takes a request for a thousand of them, a folder one for each. */
async function readRates(store: Store, { run, shards }: Manifest, of: FinishedShards): Promise<RatePoint[]> {
  const points: RatePoint[] = []
  for await (const { key, modifiedMs: atMs = 0 } of store.list(shardPrefix(run))) {
    const shard = shardOfKey(key, run, shards)
    const [documents, tokens] =
      shard === undefined ? [0, 0] : [of.documents[shard] ?? 0, of.tokens[shard] ?? 0]
    // A carried shard has none: it may keep the time at which the other run wrote it.
    if (atMs > 0 && documents > 0) points.push({ atMs, documents, tokens })
  }
  return merged(points.sort((a, b) => a.atMs - b.atMs))
}

/** At most RATE_POINTS points, each the sum of a stretch of time that ends at its time. */
function merged(points: readonly RatePoint[]): RatePoint[] {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined || last.atMs === first.atMs) return []
  const stepMs = Math.max(1, (last.atMs - first.atMs) / RATE_POINTS)
  const sums = new Map<number, RatePoint>()
  for (const { atMs, documents, tokens } of points) {
    const slot = Math.ceil((atMs - first.atMs) / stepMs)
    const sum = sums.get(slot)
    sums.set(slot, {
      atMs: first.atMs + slot * stepMs,
      documents: documents + (sum?.documents ?? 0),
      tokens: tokens + (sum?.tokens ?? 0),
    })
  }
  return [...sums.values()]
}

async function readRecorded(
  store: Store,
  { run, plannedMs }: RunFacts,
  versions: readonly PublishedVersion[],
): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  if (plannedMs !== undefined) events.push({ atMs: plannedMs, kind: 'record', text: 'planned' })
  for await (const { state, at, by, reason, budgetExceeded, failure } of readRunStates(store, run)) {
    if (at === undefined) continue
    const why = [by && `by ${by}`, reason ?? budgetExceeded ?? failure?.message].filter(Boolean).join(': ')
    events.push({ atMs: Date.parse(at), kind: 'record', text: `${state} ${why}`.trim() })
    if (events.length >= MAX_RECORDS) break
  }
  for (const each of versions) {
    if (each.run !== run || each.at === null) continue
    const by = each.by === null ? '' : ` by ${each.by}`
    const why = each.reason === null ? '' : `: ${each.reason}`
    events.push({
      atMs: Date.parse(each.at),
      kind: 'version',
      text: `version ${each.version}: ${each.action}${by}${why}`,
    })
  }
  return events.sort((a, b) => a.atMs - b.atMs)
}

async function readSamples(store: Store, run: string, reasons: readonly string[]): Promise<RejectSample[]> {
  const found = new Map<string, FoundReject[]>()
  let read = 0
  for await (const reject of readRejects(store, run)) {
    const same = found.get(reject.reason) ?? []
    found.set(reject.reason, same)
    if (same.length < SAMPLES_PER_REASON) same.push(reject)
    read += 1
    const isComplete = reasons.every(reason => found.get(reason)?.length === SAMPLES_PER_REASON)
    if (isComplete || read >= MAX_REJECTS_READ) break
  }
  return Array.from(found, ([reason, rejects]) => ({ reason, rejects }))
}
