// The base: a finished run of the same recipe, whose vectors a new run takes where texts are unchanged. Everything
// that is asked of it is write-once, so a worker that stopped and comes back, a twin or a second producer find the
// same answers. A base that is gone or damaged costs requests, never a vector: what is not found there is embedded.

import {
  type Plan,
  type Receipt,
  type RejectReason,
  readManifest,
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
import { createReuseIndex, type ReuseIndex } from './reuse-index.ts'
import { createSliceLocator } from './slice-locator.ts'

export interface BaseRun {
  readonly run: string
  /** The shard of exactly this slice, if its rows can be taken as they are: nothing of the corpus is read for it. */
  reusableShard(slice: Slice, signal?: AbortSignal): Promise<ReusableShard | undefined>
  /** The vectors of texts that stood near this slice. */
  reuseIndex(slice: Slice): ReuseIndex
}

export interface ReusableShard {
  readonly receipt: Receipt
  /** Throws CORRUPT at the end if they are not the rows that were written. */
  rows(): AsyncGenerator<ShardBatch, void, undefined>
}

/** Rejects that another try can mend; the others are of the corpus, and it is the same. */
export const RETRYABLE_REJECTS: readonly RejectReason[] = ['refused_by_model', 'invalid_vector']

/**
 * The base that a plan names; undefined if it names none, or if it was deleted since. What goes or is damaged later
 * gives nothing: it is embedded.
 * @throws ReembedError MODEL_MISMATCH if equal texts need not have the same vector there.
 */
export async function openBaseRun(
  store: Store,
  plan: Pick<Plan, 'run' | 'baseRun' | 'source' | 'layout' | 'recipe' | 'spaceId' | 'recipeId'>,
): Promise<BaseRun | undefined> {
  if (plan.baseRun === undefined) return undefined
  const [basePlan, manifest] = [await readPlan(store, plan.baseRun), await readManifest(store, plan.baseRun)]
  if (!basePlan || !manifest) return undefined
  requireSameRecipe(plan, manifest)
  const locator = createSliceLocator(store, basePlan)

  /** The footer of one of its shards, or undefined if that is not what it should be. */
  async function open(shard: number, signal?: AbortSignal): Promise<ShardFooter | undefined> {
    const footer = await undefinedIfCorrupt(
      readFooter(store, shardKey(basePlan?.run ?? '', shard, basePlan?.shards ?? 0), { signal }),
    )
    const { receipt } = footer ?? {}
    return receipt?.run === basePlan?.run && receipt?.shard === shard && sameRecipe(receipt, plan)
      ? footer
      : undefined
  }

  return {
    run: basePlan.run,
    async reusableShard(slice, signal) {
      if (basePlan.source !== plan.source || !sameLayout(basePlan, plan)) return undefined
      const shard = await undefinedIfCorrupt(locator.shardOfSameSlice(slice))
      const footer = shard === undefined ? undefined : await open(shard, signal)
      if (!footer || footer.receipt.rejects.some(({ reason }) => RETRYABLE_REJECTS.includes(reason)))
        return undefined
      const key = shardKey(basePlan.run, footer.receipt.shard, basePlan.shards)
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
            if (footer) yield { key: shardKey(basePlan.run, shard, basePlan.shards), footer }
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

/** @throws ReembedError MODEL_MISMATCH (exit code 6), naming both. */
export function requireSameRecipe(
  plan: Pick<Plan, 'run' | 'spaceId' | 'recipeId'>,
  base: Pick<Plan, 'run' | 'spaceId' | 'recipeId'>,
): void {
  if (sameRecipe(plan, base)) return
  const what = plan.spaceId === base.spaceId ? 'recipe' : 'vector space'
  throw new ReembedError(
    'MODEL_MISMATCH',
    `run ${plan.run} cannot take vectors from run ${base.run}: that is of another ${what}`,
  )
}

/** Whether shards have the same columns. */
export const sameLayout = (a: Pick<Plan, 'layout'>, b: Pick<Plan, 'layout'>): boolean =>
  canonical(a.layout ?? {}) === canonical(b.layout ?? {})
