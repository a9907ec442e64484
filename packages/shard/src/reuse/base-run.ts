// The base runs of a run: runs of the same recipe whose vectors it reuses for unchanged texts. An
// unfinished run is one as well: each shard proves itself by its receipt and its hashes. Objects
// are write-once, so a restarted worker, a concurrent writer and a second producer get the same
// results. A deleted or damaged base run costs requests, never a vector: a text that is not found
// there is embedded.

import {
  baseRunsOf,
  type Plan,
  type Receipt,
  type RejectReason,
  readPlan,
  type Slice,
  sameRecipe,
} from '@reembed/protocol'
import { canonical, messageOf, ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import {
  corruptShard,
  type RowGroupLayout,
  readFooter,
  type ShardFooter,
  undefinedIfCorrupt,
} from '../read/footer.ts'
import { decodeRowGroup, readRowGroups, type ShardBatch } from '../read/read.ts'
import { listCheckpoints } from './checkpoints.ts'
import { createReuseIndex, type ReuseIndex, searchInOrder } from './reuse-index.ts'
import { createSliceLocator } from './slice-locator.ts'

/** The base runs of a run. Each is searched for what the ones before it do not have. */
export interface BaseRuns {
  /**
   * The shard of exactly this slice, if all its rows can be reused: the corpus is then not read.
   */
  reusableShard(slice: Slice, signal?: AbortSignal): Promise<ReusableShard | undefined>
  /** The vectors of texts near this slice. */
  reuseIndex(slice: Slice): ReuseIndex
}

export interface ReusableShard {
  readonly receipt: Receipt
  /** @throws ReembedError CORRUPT, at the end, if the rows are not the rows that were written. */
  rows(): AsyncGenerator<ShardBatch, void, undefined>
}

/**
 * Reject reasons that a retry can resolve. All others depend only on the corpus, which is
 * unchanged.
 */
export const RETRYABLE_REJECTS: readonly RejectReason[] = ['refused_by_model', 'invalid_vector']

type ReusingPlan = Pick<
  Plan,
  'run' | 'baseRun' | 'unfinishedBaseRuns' | 'source' | 'layout' | 'recipe' | 'spaceId' | 'recipeId'
>

/**
 * Opens the base runs of a plan; undefined if the plan has none or all were deleted. Shards that
 * are written, deleted or damaged later are noticed: a shard is opened when a slice needs it.
 * @throws ReembedError MODEL_MISMATCH if a recipe differs, so that equal texts may have different
 * vectors.
 */
export async function openBaseRuns(store: Store, plan: ReusingPlan): Promise<BaseRuns | undefined> {
  const opened: BaseRuns[] = []
  for (const run of baseRunsOf(plan)) {
    const basePlan = await readPlan(store, run)
    if (basePlan === undefined) continue
    requireSameRecipe(plan, basePlan)
    opened.push(openBaseRun(store, plan, basePlan))
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

function openBaseRun(store: Store, plan: ReusingPlan, basePlan: Plan): BaseRuns {
  const locator = createSliceLocator(store, basePlan)
  const keyOf = (shard: number): string => shardKey(basePlan.run, shard, basePlan.shards)

  /**
   * The footer of a shard of the base run; undefined if it is missing, damaged or of another run or
   * recipe.
   */
  async function open(shard: number, signal?: AbortSignal): Promise<ShardFooter | undefined> {
    const footer = await undefinedIfCorrupt(readFooter(store, keyOf(shard), { signal }))
    const { receipt } = footer ?? {}
    return receipt?.run === basePlan.run && receipt.shard === shard && sameRecipe(receipt, plan)
      ? footer
      : undefined
  }

  return {
    async reusableShard(slice, signal) {
      if (basePlan.source !== plan.source || !sameLayout(basePlan, plan)) return undefined
      const shard = await undefinedIfCorrupt(locator.shardOfSameSlice(slice))
      const footer = shard === undefined ? undefined : await open(shard, signal)
      if (!footer || footer.receipt.rejects.some(({ reason }) => RETRYABLE_REJECTS.includes(reason)))
        return undefined
      const key = keyOf(footer.receipt.shard)
      return {
        receipt: footer.receipt,
        async *rows() {
          for await (const { group, bytes } of readRowGroups(store, key, footer, signal))
            yield rowsOf(bytes, footer, group)
        },
      }
    },
    reuseIndex: slice =>
      createReuseIndex(store, {
        dimensions: plan.recipe.model.dimensions,
        async *candidateShards(signal) {
          for (const shard of (await undefinedIfCorrupt(locator.candidateShards(slice))) ?? []) {
            const footer = await open(shard, signal)
            if (footer) yield { key: keyOf(shard), footer }
            else yield* await listCheckpoints(store, basePlan, shard, signal)
          }
        },
      }),
  }
}

function rowsOf(bytes: Buffer, footer: ShardFooter, group: RowGroupLayout): ShardBatch {
  try {
    return decodeRowGroup(bytes, footer, group, true)
  } catch (cause) {
    throw corruptShard(footer.name, `cannot be read: ${messageOf(cause)}`, cause)
  }
}

/** @throws ReembedError MODEL_MISMATCH, with both runs, if their recipes differ. */
export function requireSameRecipe(
  plan: Pick<Plan, 'run' | 'spaceId' | 'recipeId'>,
  base: Pick<Plan, 'run' | 'spaceId' | 'recipeId'>,
): void {
  if (sameRecipe(plan, base)) return
  const what = plan.spaceId === base.spaceId ? 'recipe' : 'vector space'
  throw new ReembedError(
    'MODEL_MISMATCH',
    `run ${plan.run} cannot reuse vectors of run ${base.run}, which has another ${what}`,
  )
}

/** Whether the shards of two plans have the same columns. */
export const sameLayout = (a: Pick<Plan, 'layout'>, b: Pick<Plan, 'layout'>): boolean =>
  canonical(a.layout ?? {}) === canonical(b.layout ?? {})
