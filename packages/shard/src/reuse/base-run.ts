// The base runs of a run: runs whose vectors it reuses for equal texts. Model, prompt, truncation
// and dtype are the same; fields, template and chunking may differ, and then no shard is carried
// over. An unfinished run is one as well: each shard proves itself by its receipt and its hashes.
// Objects are write-once, so a restarted worker, a concurrent writer and a second producer get the
// same results. A deleted or damaged base run costs requests, never a vector: a text that is not
// found there is embedded.

import {
  baseRunsOf,
  isShardOf,
  type Plan,
  type Receipt,
  type RejectReason,
  readPlan,
  type Slice,
  sameRecipe,
  sameVectors,
  shardsPresent,
} from '@reembed/protocol'
import { canonical, createMemo, mapConcurrent, ReembedError, shardKey, unlessAborted } from '@reembed/shared'
import { ObjectNotFound, type Store } from '@reembed/store'
import { readFooter, type ShardFooter, undefinedIfCorrupt } from '../read/footer.ts'
import { listCheckpoints } from './checkpoints.ts'
import {
  bytesOf,
  createReuseIndex,
  type IndexedShard,
  indexShard,
  type ReuseIndex,
  searchInOrder,
} from './reuse-index.ts'
import { type Candidates, createSliceLocator } from './slice-locator.ts'

/** The base runs of a run. Each is searched for what the ones before it do not have. */
export interface BaseRuns {
  /**
   * The shard of exactly this slice, if it can be carried over: neither the corpus nor its rows are
   * read. Its footer is intact; its body is proven by `verify`, as that of any shard.
   */
  reusableShard(slice: Slice, signal?: AbortSignal): Promise<ReusableShard | undefined>
  /** The vectors of texts near this slice. */
  reuseIndex(slice: Slice): ReuseIndex
}

export interface ReusableShard {
  readonly key: string
  readonly size: number
  readonly receipt: Receipt
}

/**
 * Reject reasons that a retry can resolve. All others depend only on the corpus, which is
 * unchanged.
 */
export const RETRYABLE_REJECTS: readonly RejectReason[] = ['refused_by_model', 'invalid_vector']

/** Hashes of base shards, shared by the jobs of a worker and limited for all of its runs. */
export interface BaseShardCache {
  /** Memory for shards; those of one slice may take as much. */
  readonly maxBytes: number
  /** The shard with this key, opened by `index` unless it is kept. */
  get(store: Store, key: string, index: () => Promise<IndexedShard>): Promise<IndexedShard>
}

/**
 * The candidates of a slice: one takes 100 KiB, 1 MiB if it has 64 MiB of vectors of 384
 * dimensions, and 6 MiB if they have 64.
 */
const KEPT_BYTES = 64 * 2 ** 20

/** Creates an empty cache of 64 MiB. */
export function createBaseShardCache(maxBytes: number = KEPT_BYTES): BaseShardCache {
  const indexed = createMemo<string, IndexedShard>({ max: maxBytes, sizeOf: bytesOf })
  return { maxBytes, get: (store, key, index) => indexed.get(`${store.url} ${key}`, index) }
}

/** Candidates that are opened at the same time: each takes two or three requests. */
const SHARDS_AT_ONCE = 8

type ReusingPlan = Pick<
  Plan,
  'run' | 'baseRun' | 'unfinishedBaseRuns' | 'source' | 'layout' | 'recipe' | 'spaceId' | 'recipeId'
>

export interface BaseRunOptions {
  /**
   * Finds the shards of a base run by one LIST instead of a HEAD for each: for a caller that needs
   * most of them. Shards that are written later are not found.
   */
  readonly listed?: boolean | undefined
  /** That of a worker; the default is one of its own. */
  readonly cache?: BaseShardCache | undefined
}

/**
 * Opens the base runs of a plan; undefined if the plan has none, or all were deleted or damaged.
 * Shards that are deleted or damaged later are noticed: a shard is opened when a slice needs it.
 * @throws ReembedError MODEL_MISMATCH if equal texts may have different vectors there.
 */
export async function openBaseRuns(
  store: Store,
  plan: ReusingPlan,
  options: BaseRunOptions = {},
): Promise<BaseRuns | undefined> {
  const opened: BaseRuns[] = []
  const { listed = false, cache = createBaseShardCache() } = options
  for (const run of baseRunsOf(plan)) {
    const basePlan = await undefinedIfCorrupt(readPlan(store, run))
    if (basePlan === undefined) continue
    requireSameVectors(plan, basePlan)
    opened.push(openBaseRun(store, plan, basePlan, { listed, cache }))
  }
  if (opened.length === 0) return undefined
  return {
    async reusableShard(slice, signal) {
      for (const base of opened) {
        const found = await base.reusableShard(slice, signal)
        if (found) return found
      }
      return undefined
    },
    reuseIndex: slice => searchInOrder(opened.map(base => base.reuseIndex(slice))),
  }
}

function openBaseRun(
  store: Store,
  plan: ReusingPlan,
  basePlan: Plan,
  { listed, cache }: { readonly listed: boolean; readonly cache: BaseShardCache },
): BaseRuns {
  const locator = createSliceLocator(store, basePlan)
  const keyOf = (shard: number): string => shardKey(basePlan.run, shard, basePlan.shards)
  let sizes: Promise<Uint32Array> | undefined

  /**
   * The footer of a shard of the base run; undefined if it is missing, damaged or of another run or
   * recipe.
   */
  async function open(shard: number, signal?: AbortSignal): Promise<ShardFooter | undefined> {
    if (listed) sizes ??= shardsPresent(store, basePlan)
    const size = (await sizes)?.[shard]
    if (size === 0) return undefined
    const footer = await undefinedIfCorrupt(readFooter(store, keyOf(shard), { size, signal }))
    if (footer === undefined || !sameRecipe(footer.receipt, basePlan)) return undefined
    const { run, shard: made } = footer.receipt
    // A carried shard has the receipt of the run that made it.
    const isOwn = run === basePlan.run ? made === shard : baseRunsOf(basePlan).length > 0
    return isOwn ? footer : undefined
  }

  /** Jobs beside each other share these reads, so no signal of a job ends them. */
  async function index(shard: number): Promise<IndexedShard> {
    const footer = await open(shard)
    // Not cached: an unfinished base run may get the shard later.
    if (footer === undefined) throw new ObjectNotFound(keyOf(shard))
    return indexShard(store, keyOf(shard), footer)
  }

  /** The shard, or its checkpoints while it is missing. */
  async function searched(shard: number, signal: AbortSignal): Promise<IndexedShard[]> {
    const reading = cache.get(store, keyOf(shard), () => index(shard))
    const found = await undefinedIfCorrupt(unlessAborted(signal, reading))
    return found ? [found] : listCheckpoints(store, basePlan, shard, signal)
  }

  return {
    async reusableShard(slice, signal) {
      const isSame =
        basePlan.source === plan.source && sameRecipe(basePlan, plan) && sameLayout(basePlan, plan)
      if (!isSame) return undefined
      const shard = await undefinedIfCorrupt(locator.shardOfSameSlice(slice))
      if (shard === undefined) return undefined
      const footer = await open(shard, signal)
      if (!footer || !isShardOf(footer.receipt, basePlan, shard, slice)) return undefined
      if (footer.receipt.rejects.some(({ reason }) => RETRYABLE_REJECTS.includes(reason))) return undefined
      return { key: keyOf(shard), size: footer.size, receipt: footer.receipt }
    },
    reuseIndex(slice) {
      /** Memory of the shards that were searched. */
      let held = 0
      async function* search(which: keyof Candidates, signal?: AbortSignal) {
        const candidates = await undefinedIfCorrupt(locator.candidateShards(slice))
        function* fitting() {
          for (const shard of candidates?.[which] ?? []) {
            // More than the cache keeps would be read again for each job.
            if (which === 'far' && held >= cache.maxBytes) return
            yield shard
          }
        }
        const concurrency = SHARDS_AT_ONCE
        for await (const found of mapConcurrent(fitting(), searched, { concurrency, signal })) {
          for (const shard of found) held += bytesOf(shard)
          yield* found
        }
      }
      return createReuseIndex(store, {
        dimensions: plan.recipe.model.dimensions,
        nearShards: signal => search('near', signal),
        farShards: signal => search('far', signal),
      })
    },
  }
}

/** @throws ReembedError MODEL_MISMATCH, with both runs, unless equal texts have equal vectors. */
function requireSameVectors(
  plan: Pick<Plan, 'run' | 'spaceId' | 'recipe'>,
  base: Pick<Plan, 'run' | 'spaceId' | 'recipe'>,
): void {
  if (sameVectors(plan.recipe, base.recipe)) return
  const what = plan.spaceId === base.spaceId ? 'recipe' : 'vector space'
  throw new ReembedError(
    'MODEL_MISMATCH',
    `run ${plan.run} cannot reuse vectors of run ${base.run}, which has another ${what}`,
  )
}

/** Whether the shards of two plans have the same columns. */
export const sameLayout = (a: Pick<Plan, 'layout'>, b: Pick<Plan, 'layout'>): boolean =>
  canonical(a.layout ?? {}) === canonical(b.layout ?? {})
