// What must hold at every moment (I1 to I7 of the protocol), checked against what is really in the simulated store
// and what the corpus really held. Nothing of the product's own checks is believed here.

import {
  getJson,
  type Job,
  type Manifest,
  type Plan,
  readManifest,
  readManifestShards,
  readPlan,
  readReceipt,
  readShard,
  readSlices,
  type Store,
  sha256,
  shardKey,
  type Version,
} from '@reembed/shared'
import { DIMENSIONS, vectorOf } from './fleet.ts'
import type { Objects } from './store.ts'

/** Every document of an object that was ever in the corpus: id -> text, and how many lines are no document. */
export type Contents = Map<
  string,
  { readonly documents: ReadonlyMap<string, string>; readonly rejects: number }
>

export interface Invariants {
  /** Looks at what has changed since the last call; returns what is broken. */
  check(): Promise<string[]>
  claimed(job: Job): void
}

export function createInvariants(objects: Objects, direct: Store, contents: Contents): Invariants {
  const proven = new Set<string>()
  const claims: Job[] = []
  let versions: Version[] = []
  let seenPuts = 0

  async function checkVersions(): Promise<string[]> {
    const keys = [...objects.map.keys()].filter(key => key.startsWith('versions/')).sort()
    if (keys.length === versions.length) return []
    const newest = (await getJson(direct, keys[0] ?? '')) as Version
    const before = versions.at(-1)
    versions = [...versions, newest]
    const broken: string[] = []
    // I5
    if (newest.version !== versions.length)
      broken.push(`I5 version ${newest.version} after ${before?.version ?? 0}`)
    if (before && newest.seq <= before.seq) broken.push(`I5 seq ${newest.seq} after ${before.seq}`)
    // I4
    const [plan, manifest] = [await readPlan(direct, newest.run), await readManifest(direct, newest.run)]
    if (!plan || !manifest) return [...broken, `I4 version ${newest.version} names a run without manifest`]
    return [...broken, ...(await checkRun(plan, manifest))]
  }

  /** I2, I3, I6 for a run that readers can see from now on (I7). */
  async function checkRun(plan: Plan, manifest: Manifest): Promise<string[]> {
    if (proven.has(plan.run)) return []
    proven.add(plan.run)
    const broken: string[] = []
    const expected = new Map<string, string>()
    let rejects = 0
    const etags = new Set<string>()
    for await (const { parts } of readSlices(direct, plan)) for (const { etag } of parts) etags.add(etag)
    for (const etag of etags) {
      const held = contents.get(etag)
      for (const [id, text] of held?.documents ?? []) expected.set(id, text)
      rejects += held?.rejects ?? 0
    }
    const seen = new Set<string>()
    let shards = 0
    for await (const { key, bodySha256 } of readManifestShards(direct, manifest)) {
      if (!objects.map.has(key)) return [`I3 ${key} is in the manifest and not in the store`]
      const { receipt } = await readReceipt(direct, key)
      if (receipt.bodySha256 !== bodySha256) broken.push(`I3 ${key} is not the shard of the manifest`)
      if (key !== shardKey(plan.run, shards, plan.shards)) broken.push(`I3 ${key} is out of order`)
      shards += 1
      rejects -= receipt.rejects.length
      for await (const { ids, vectors } of readShard(direct, key)) {
        for (const [row, id] of ids.entries()) {
          const text = expected.get(id)
          if (seen.has(id)) broken.push(`I2 ${id} is in the run twice`)
          seen.add(id)
          if (text === undefined) broken.push(`I2 ${id} is not in the corpus that was planned`)
          const right = vectorOf(plan.recipe.model.revision ?? '', text ?? '')
          const found = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
          if (!right.every((value, i) => value === found[i])) {
            broken.push(`I6 the vector of ${id} is not that of its text by ${plan.recipe.model.revision}`)
          }
        }
      }
    }
    if (shards !== plan.shards) broken.push(`I3 ${shards} of ${plan.shards} shards are in the manifest`)
    if (seen.size !== expected.size) broken.push(`I2 ${expected.size - seen.size} documents are missing`)
    if (rejects !== 0) broken.push(`I2 ${rejects} rejects are missing`)
    return broken
  }

  /** A job may only be done when its shard is there, and is its shard. */
  async function checkClaims(): Promise<string[]> {
    const broken: string[] = []
    for (const { run, shard } of claims.splice(0)) {
      const plan = await readPlan(direct, run)
      const key = plan && shardKey(run, shard, plan.shards)
      const body = key && objects.map.get(key)?.body
      if (!key || !body) {
        broken.push(`I2 shard ${shard} of ${run} was said to be done and is not there`)
        continue
      }
      const name = `${key} ${sha256(body)}`
      if (proven.has(name)) continue
      proven.add(name)
      const receipt = await readReceipt(direct, key).catch(() => undefined)
      if (receipt?.receipt.run !== run || receipt.receipt.shard !== shard) {
        broken.push(`I2 shard ${shard} of ${run} was said to be done, but a stranger holds its key`)
      }
    }
    return broken
  }

  return {
    claimed: job => void claims.push(job),
    async check() {
      if (claims.length === 0 && objects.puts === seenPuts) return []
      seenPuts = objects.puts
      const broken = objects.overwritten.splice(0).map(key => `I1 ${key} was overwritten`)
      if (claims.length > 0) broken.push(...(await checkClaims()))
      broken.push(...(await checkVersions()))
      return broken
    },
  }
}
