// Reads the state of a simulated history from outside, without a turn: whether a run is done, what
// prevents it, and which objects a fault can damage.

import {
  isSuperseded as isSupersededBy,
  readCurrent,
  readManifest,
  readPlan,
  readRunStateRecord,
  readSeq,
  readSlices,
} from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { type Objects, openSimulated } from './store.ts'
import { createWorld, type Process, type World } from './world.ts'

/** Liveness: the run that was planned last is current, unless a later rollback replaced it. */
export async function endOf(store: Store, run: string, ended: boolean): Promise<string[]> {
  if (!ended) return [`never ended: ${run === '' ? 'nothing was planned' : `run ${run} was not published`}`]
  const [plan, manifest] = [await readPlan(store, run), await readManifest(store, run)]
  const current = await readCurrent(store)
  if (!plan || !manifest || !current) return [`ended without a version, though run ${run} is finished`]
  if (current.run !== run && current.seq < plan.seq) return [`run ${run} is finished and not current`]
  return []
}

/** Whether the run has a manifest and the current version is not older. Takes no turn. */
export function isFinished(output: Objects, run: string): boolean {
  return output.map.has(`runs/${run}/manifest.json`) && isSuperseded(output, run)
}

/**
 * Whether the current version has this sequence number or a higher one: then only a caller that
 * waits for the run finalizes it.
 */
export function isSuperseded(output: Objects, run: string): boolean {
  const newest = newestVersion(output)
  if (newest === undefined || !output.map.has(`runs/${run}/plan.json`)) return false
  const seqOf = (key: string): number => jsonOf(output, key).seq ?? 0
  return seqOf(newest) >= seqOf(`runs/${run}/plan.json`)
}

/**
 * Whether a later sequence number was taken: then only a caller that asks for the run may get it
 * finished.
 */
export async function hasSuccessor(store: Store, run: string): Promise<boolean> {
  const plan = await readPlan(store, run)
  return plan !== undefined && (await readSeq(store, { after: plan.seq })).length > 0
}

/** The unfinished runs that the current version supersedes. */
export async function supersededRuns(store: Store): Promise<ReadonlySet<string>> {
  const current = await readCurrent(store)
  const runs = new Set<string>()
  for (const { run } of await readSeq(store)) {
    const plan = await readPlan(store, run)
    if (plan && isSupersededBy(plan, await readRunStateRecord(store, run), current)) runs.add(run)
  }
  return runs
}

/** Whether the run is for the corpus as it is now. */
export async function isOfNow(store: Store, run: string, source: Objects): Promise<boolean> {
  const plan = await readPlan(store, run)
  if (plan === undefined) return false
  for await (const { parts } of readSlices(store, plan)) {
    if (parts.some(({ key, etag }) => source.map.get(key)?.etag !== etag)) return false
  }
  return true
}

interface Known {
  readonly run: string
  readonly seq: number
  readonly shards: number
  readonly rejectReasons: Readonly<Record<string, number>>
}

const jsonOf = (objects: Objects, key: string): Partial<Known> =>
  JSON.parse(Buffer.from(objects.map.get(key)?.body ?? []).toString())

/** The current version lacks documents that the model refused. */
export function hasRefused(output: Objects): boolean {
  const newest = newestVersion(output)
  if (newest === undefined) return false
  const { run } = jsonOf(output, newest)
  const { rejectReasons } = jsonOf(output, `runs/${run}/manifest.json`)
  return (rejectReasons?.refused_by_model ?? 0) > 0
}

const newestVersion = (output: Objects): string | undefined =>
  [...output.map.keys()].filter(key => key.startsWith('versions/')).sort()[0]

/** Two runs were published at least. */
export const canGoBack = (output: Objects): boolean =>
  [...output.map.keys()].filter(key => key.startsWith('versions/')).length > 1

export function shardNameOf(output: Objects, run: string, shard: number): string | undefined {
  if (!output.map.has(`runs/${run}/plan.json`)) return undefined
  const { shards = 0 } = jsonOf(output, `runs/${run}/plan.json`)
  const digits = (n: number): string => String(n).padStart(5, '0')
  return shard < shards ? `runs/${run}/data/part-${digits(shard)}-of-${digits(shards)}.parquet` : undefined
}

/**
 * The body of a shard that is not the one of this name: of another number of its run, or of a run
 * of another model. A shard of another run of its model may be the very one to carry.
 */
export function foreignShardOf(
  output: Objects,
  name: string,
  isOtherModel: (run: string) => boolean,
): Uint8Array {
  const runOf = (key: string): string => key.split('/')[1] ?? ''
  const isForeign = (key: string): boolean =>
    key.endsWith('.parquet') && key !== name && (runOf(key) === runOf(name) || isOtherModel(runOf(key)))
  const shard = [...output.map].find(([key]) => isForeign(key))
  return shard ? shard[1].body : Buffer.from('not ours')
}

/** The store without turns and faults, for checks that only read. */
export function openDirect(objects: Objects): Store {
  const still: World = { ...createWorld(0), turn: async () => {}, chance: () => false }
  const onlooker: Process = { name: 'onlooker', alive: true, stoppedUntil: 0 }
  return openSimulated(objects, still, onlooker, {
    failing: 0,
    losing: 0,
    stalling: 0,
    refusing: 0,
    overwrites: false,
  })
}
