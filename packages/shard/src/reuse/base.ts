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
import { corrupt, type GroupLayout, readFooter, type ShardFooter, unlessCorrupt } from '../read/footer.ts'
import { decodeGroup, readBody, type ShardBatch } from '../read/read.ts'
import { createKnown, type Known } from './known.ts'
import { createPlaces } from './places.ts'

export interface Base {
  readonly run: string
  /** The shard of exactly this slice, if its rows can be taken as they are: nothing of the corpus is read for it. */
  carried(slice: Slice, signal?: AbortSignal): Promise<CarriedShard | undefined>
  /** The vectors of texts that stood near this slice. */
  known(slice: Slice): Known
}

export interface CarriedShard {
  readonly receipt: Receipt
  /** Throws CORRUPT at the end if they are not the rows that were written. */
  rows(): AsyncGenerator<ShardBatch, void, undefined>
}

/** Rejects that another try can mend; the others are of the corpus, and it is the same. */
export const MODEL_REJECTS: readonly RejectReason[] = ['refused_by_model', 'invalid_vector']

/**
 * The base that a plan names; undefined if it names none, or if it was deleted since. What goes or is damaged later
 * gives nothing: it is embedded.
 * @throws ReembedError MODEL_MISMATCH if equal texts need not have the same vector there.
 */
export async function openBase(
  store: Store,
  plan: Pick<Plan, 'run' | 'base' | 'source' | 'layout' | 'recipe' | 'spaceId' | 'recipeId'>,
): Promise<Base | undefined> {
  if (plan.base === undefined) return undefined
  const [then, manifest] = [await readPlan(store, plan.base), await readManifest(store, plan.base)]
  if (!then || !manifest) return undefined
  requireSameRecipe(plan, manifest)
  const places = createPlaces(store, then)

  /** The footer of one of its shards, or undefined if that is not what it should be. */
  async function open(shard: number, signal?: AbortSignal): Promise<ShardFooter | undefined> {
    const footer = await unlessCorrupt(
      readFooter(store, shardKey(then?.run ?? '', shard, then?.shards ?? 0), { signal }),
    )
    const { receipt } = footer ?? {}
    return receipt?.run === then?.run && receipt?.shard === shard && sameRecipe(receipt, plan)
      ? footer
      : undefined
  }

  return {
    run: then.run,
    async carried(slice, signal) {
      if (then.source !== plan.source || !sameLayout(then, plan)) return undefined
      const shard = await unlessCorrupt(places.same(slice))
      const footer = shard === undefined ? undefined : await open(shard, signal)
      if (!footer || footer.receipt.rejects.some(({ reason }) => MODEL_REJECTS.includes(reason)))
        return undefined
      const key = shardKey(then.run, footer.receipt.shard, then.shards)
      return {
        receipt: footer.receipt,
        async *rows() {
          for await (const { group, bytes } of readBody(store, key, footer, signal))
            yield rowsOf(bytes, footer, group)
        },
      }
    },
    known: slice =>
      createKnown(store, {
        dimensions: plan.recipe.model.dimensions,
        async *shards(signal) {
          for (const shard of (await unlessCorrupt(places.near(slice))) ?? []) {
            const footer = await open(shard, signal)
            if (footer) yield { key: shardKey(then.run, shard, then.shards), footer }
          }
        },
      }),
  }
}

function rowsOf(bytes: Buffer, footer: ShardFooter, group: GroupLayout): ShardBatch {
  try {
    return decodeGroup(bytes, footer, group, true)
  } catch (cause) {
    throw corrupt(footer.name, `cannot be read: ${messageOf(cause)}`, cause)
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
