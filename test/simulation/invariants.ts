// The invariants I1 to I7 of the protocol, checked after every put against the real content of the
// simulated store and of the corpus. The checks of the product itself are not trusted here.

import {
  baseRunsOf,
  isDeletion,
  type Manifest,
  type Plan,
  readManifestShards,
  readPlan,
  readRunState,
  readSlices,
  type Slice,
  type Version,
} from '@reembed/protocol'
import type { Job } from '@reembed/queue'
import { readReceipt, readShard } from '@reembed/shard'
import { manifestKey, rejectsKey, seqKey, sha256, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { DIMENSIONS, vectorOf } from './fleet.ts'
import type { Garbage } from './garbage.ts'
import type { Objects, StoredObject } from './store.ts'

/**
 * Content of an object of the corpus in one edition: text by id, and the offsets of lines that are
 * no document.
 */
export interface Edition {
  readonly documents: ReadonlyMap<string, string>
  readonly badLines: ReadonlySet<number>
}

/** Every edition that ever existed, by etag. */
export type Contents = Map<string, Edition>

export interface Invariants {
  /**
   * Checks the objects that were put since the last call. Returns the broken invariants, or
   * undefined if none were put.
   */
  check(): Promise<string[]> | undefined
  /** Call when a worker reports that a job is done. */
  claimed(job: Job): void
}

/** A plan with its slices. */
interface Planned {
  readonly plan: Plan
  readonly slices: readonly Slice[]
}

/** What a shard was found to hold when it was put. */
interface Held {
  readonly object: StoredObject
  readonly run: string
  readonly shard: number
  readonly bodySha256: string
  readonly rows: readonly string[]
  /**
   * Ids of documents that the model refused, and lines that are no document, as `<etag> <offset>`.
   */
  readonly refused: readonly string[]
  readonly badLines: readonly string[]
}

/**
 * @param mayRefuse whether the replies of the model server may have made a text a reject; a retry
 *   run is planned after the server is repaired
 */
export function createInvariants(
  objects: Objects,
  direct: Store,
  contents: Contents,
  garbage: Garbage,
  mayRefuse: (text: string, repaired: boolean) => boolean,
): Invariants {
  const plans = new Map<string, Planned>()
  const shards = new Map<string, Held>()
  const claims: Job[] = []
  let [version, seq] = [0, 0]

  const json = <T>(key: string): T | undefined => {
    const held = objects.map.get(key)
    return held && (JSON.parse(Buffer.from(held.body).toString()) as T)
  }

  async function plannedOf(run: string): Promise<Planned | undefined> {
    const known = plans.get(run)
    if (known) return known
    const plan = await readPlan(direct, run)
    if (plan === undefined) return undefined
    const planned = { plan, slices: await Array.fromAsync(readSlices(direct, plan)) }
    plans.set(run, planned)
    return planned
  }

  /** I5: no two plans have the same sequence number. */
  function* checkPlan({ run, seq }: Plan): Generator<string> {
    if (placed(seq) !== run) yield `I5 run ${run} takes place ${seq}, which is that of ${placed(seq)}`
  }

  const placed = (seq: number): string | undefined => json<{ run: string }>(seqKey(seq))?.run

  /**
   * I2 and I6 for one shard: it holds each document of its slice, as the vector of its text or as a
   * reject with a reason.
   */
  async function* checkShard(key: string, object: StoredObject): AsyncGenerator<string> {
    const { receipt, footerStart } = await readReceipt(direct, key)
    const [, run = '', number] = /^runs\/(.*)\/data\/part-(\d+)-/.exec(key) ?? []
    const shard = Number(number)
    // No reader uses an object that is put into a partly deleted run.
    if (garbage.isThinned(run)) return
    const planned = await plannedOf(run)
    const slice = planned?.slices[shard]
    if (!slice || key !== shardKey(run, shard, planned.plan.shards)) {
      yield `I2 ${key} is no shard of ${run}`
      return
    }
    // A carried shard names the run that made it; all else must be as if this run had made it.
    if (receipt.run !== run && baseRunsOf(planned.plan).length === 0) yield `I2 ${key} is of ${receipt.run}`
    if (receipt.run === run && receipt.shard !== shard) yield `I2 ${key} holds shard ${receipt.shard}`
    const { retryOf, recipe } = planned.plan
    const { revision } = recipe.model
    if (receipt.model.revision !== revision)
      yield `I6 ${key} is by ${receipt.model.revision}, not ${revision}`
    if (sha256(object.body.subarray(0, footerStart)) !== receipt.bodySha256)
      yield `I3 ${key} has another hash`
    const etags = slice.parts.map(({ etag }) => etag)
    if (receipt.source.map(({ etag }) => etag).join() !== etags.join())
      yield `I2 ${key} was made of another source`
    const texts = new Map(etags.flatMap(etag => [...(contents.get(etag)?.documents ?? [])]))
    const rows: string[] = []
    for await (const { ids, vectors } of readShard(direct, key)) {
      for (const [row, id] of ids.entries()) {
        rows.push(id)
        const text = texts.get(id)
        if (text === undefined) yield `I2 ${id} is in ${key} and not in its source`
        const right = vectorOf(revision ?? '', text ?? '')
        const found = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
        if (!right.every((value, i) => value === found[i]))
          yield `I6 the vector of ${id} is not that of its text by ${revision}`
      }
    }
    const [refused, badLines]: [string[], string[]] = [[], []]
    for (const { id = '', position } of receipt.rejects) {
      const etag = etags[position.part] ?? ''
      const text = texts.get(id)
      if (contents.get(etag)?.badLines.has(position.offset)) badLines.push(`${etag} ${position.offset}`)
      else if (text !== undefined && mayRefuse(text, retryOf !== undefined)) refused.push(id)
      else yield `I2 ${id} at ${position.offset} of ${key} is a reject for no reason`
    }
    shards.set(key, { object, run, shard, bodySha256: receipt.bodySha256, rows, refused, badLines })
  }

  /** I6 for a checkpoint: each vector is that of its text. */
  async function* checkCheckpoint(key: string): AsyncGenerator<string> {
    const { receipt } = await readReceipt(direct, key)
    const planned = await plannedOf(receipt.run)
    const slice = planned?.slices[receipt.shard]
    if (garbage.isThinned(receipt.run) || !slice) return
    const revision = planned?.plan.recipe.model.revision ?? ''
    const texts = slice.parts.map(({ etag }) => contents.get(etag)?.documents)
    for await (const { ids, vectors } of readShard(direct, key)) {
      for (const [row, id] of ids.entries()) {
        const text = texts.find(each => each?.has(id))?.get(id) ?? ''
        const found = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
        if (!vectorOf(revision, text).every((value, i) => value === found[i]))
          yield `I6 the vector of ${id} in ${key} is not that of its text by ${revision}`
      }
    }
  }

  /**
   * I2 and I3: a manifest lists all shards of the plan as they are stored, and they hold each
   * document once.
   */
  async function* checkManifest(manifest: Manifest): AsyncGenerator<string> {
    const { run, totals } = manifest
    // A process that was stopped during the deletion put it: no process may publish it.
    if (garbage.isThinned(run) || isDeletion(await readRunState(direct, run))) return
    const planned = await plannedOf(run)
    if (planned === undefined) return yield `I3 run ${run} has a manifest and no plan`
    const held: Held[] = []
    for await (const { key, bodySha256 } of readManifestShards(direct, manifest)) {
      const shard = shards.get(key)
      if (key !== shardKey(run, held.length, planned.plan.shards)) yield `I3 ${key} is out of order`
      if (shard === undefined || shard.object !== objects.map.get(key))
        return yield `I3 ${key} is in the manifest and not in the store`
      if (shard.bodySha256 !== bodySha256) yield `I3 ${key} is not the shard of the manifest`
      held.push(shard)
    }
    if (held.length !== planned.plan.shards)
      yield `I3 ${held.length} of ${planned.plan.shards} shards are in the manifest`

    const etags = new Set(planned.slices.flatMap(({ parts }) => parts.map(({ etag }) => etag)))
    const expected = [...etags].flatMap(etag => {
      const { documents, badLines } = contents.get(etag) ?? {}
      return [...(documents?.keys() ?? []), ...[...(badLines ?? [])].map(offset => `${etag} ${offset}`)]
    })
    const rows = held.flatMap(shard => shard.rows)
    const rejects = held.flatMap(({ refused, badLines }) => [...refused, ...badLines])
    const found = [...rows, ...rejects].sort()
    if (found.join('\n') !== expected.sort().join('\n'))
      yield `I2 run ${run} holds ${found}, its corpus ${expected}`
    if (totals.rows !== rows.length || totals.rejects !== rejects.length)
      yield `I2 the totals of ${run} are not those of its shards`
    const written = Buffer.from(objects.map.get(rejectsKey(run))?.body ?? []).toString()
    if (written.split('\n').length - 1 !== rejects.length)
      yield `I2 the rejects of ${run} are not all written`
  }

  /**
   * I4, I5 and I7: versions have no gap, their sequence numbers increase, and each names a complete
   * run.
   */
  function* checkVersion(fresh: Version): Generator<string> {
    const { run } = fresh
    if (fresh.version !== version + 1) yield `I5 version ${fresh.version} after ${version}`
    if (fresh.seq <= seq) yield `I5 seq ${fresh.seq} after ${seq}`
    if (placed(fresh.seq) !== run)
      yield `I5 version ${fresh.version} takes place ${fresh.seq}, of ${placed(fresh.seq)}`
    ;[version, seq] = [fresh.version, fresh.seq]
    const manifest = objects.map.get(manifestKey(run))
    if (!manifest) return yield `I4 version ${version} names a run without manifest`
    const bytes = Buffer.from(manifest.body).toString().trimEnd()
    if (sha256(bytes) !== fresh.manifestSha256) yield `I4 version ${version} is of another manifest`
    const of = plans.get(run)?.plan.shards ?? 0
    for (let shard = 0; shard < of; shard += 1) {
      const key = shardKey(run, shard, of)
      const held = shards.get(key)
      if (held === undefined || held.object !== objects.map.get(key))
        yield `I7 version ${version} is seen without ${key}`
    }
  }

  /**
   * The stored references of a model are its real vectors: every later reply is compared with them.
   */
  function* checkReference(key: string): Generator<string> {
    const { model, texts, vectors } = json<Reference>(key) ?? {
      model: { revision: '' },
      texts: [],
      vectors: [],
    }
    for (const [i, text] of texts.entries()) {
      const right = vectorOf(model.revision, text)
      if (!right.every((value, d) => Math.abs(value - (vectors[i]?.[d] ?? Number.NaN)) < 1e-6))
        yield `I6 ${key} keeps vectors that ${model.revision} does not give`
    }
  }

  /** A job may be done only if its shard exists and belongs to it. */
  function* checkClaim({ run, shard }: Job): Generator<string> {
    const key = shardKey(run, shard, plans.get(run)?.plan.shards ?? 0)
    const held = shards.get(key)
    if (garbage.isThinned(run)) return
    if (held === undefined || held.object !== objects.map.get(key))
      yield `I2 shard ${shard} of ${run} was reported done but does not exist at ${key}`
  }

  async function* checkPut(key: string): AsyncGenerator<string> {
    const object = objects.map.get(key)
    if (object === undefined) return
    if (key.endsWith('.parquet')) yield* checkShard(key, object)
    else if (key.includes('/checkpoints/')) yield* checkCheckpoint(key)
    else if (key.startsWith('models/')) yield* checkReference(key)
    else if (key.startsWith('versions/')) yield* checkVersion(json(key) as Version)
    else if (key.endsWith('/plan.json')) yield* checkPlan(json(key) as Plan)
    else if (key.includes('/state/')) yield* garbage.recorded(key)
    else if (key.endsWith('/manifest.json')) yield* checkManifest(json(key) as Manifest)
  }

  async function checkAll(): Promise<string[]> {
    const broken = objects.overwritten.splice(0).map(key => `I1 ${key} was overwritten`)
    for (const key of objects.fresh.splice(0)) broken.push(...(await Array.fromAsync(checkPut(key))))
    broken.push(...garbage.erased(objects.erased.splice(0)))
    for (const claim of claims.splice(0)) broken.push(...checkClaim(claim))
    return broken
  }

  return {
    claimed: job => void claims.push(job),
    check: () =>
      [claims, objects.fresh, objects.erased, objects.overwritten].every(({ length }) => length === 0)
        ? undefined
        : checkAll(),
  }
}

interface Reference {
  readonly model: { readonly revision: string }
  readonly texts: readonly string[]
  readonly vectors: readonly (readonly number[])[]
}
