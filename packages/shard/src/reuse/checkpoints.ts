// Checkpoints: the rows that an interrupted job had made of its shard. A checkpoint is a file like
// a shard, below another prefix, with any part of the rows. The next attempt of the job, or a run
// that is planned later, takes their vectors by the hashes of the texts, as from a shard.

import { type Plan, type Receipt, sameRecipe } from '@reembed/protocol'
import { checkpointPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { readFooter, undefinedIfCorrupt } from '../read/footer.ts'
import { createReuseIndex, type IndexedShard, indexShard, type ReuseIndex } from './reuse-index.ts'

/** The checkpoints of one shard. */
export interface Checkpoints {
  readonly index: ReuseIndex
  /** Of the largest checkpoint: it holds the rows of the ones before it. */
  readonly receipt: Receipt
}

/**
 * Opens the checkpoints of a shard; undefined if it has none. Damaged ones, and those of another
 * run, are skipped. One LIST request where it has none.
 */
export async function openCheckpoints(
  store: Store,
  plan: Pick<Plan, 'run' | 'shards' | 'spaceId' | 'recipeId' | 'recipe'>,
  shard: number,
  signal?: AbortSignal,
): Promise<Checkpoints | undefined> {
  const found = await listCheckpoints(store, plan, shard, signal)
  const [largest] = found
  if (largest === undefined) return undefined
  const index = createReuseIndex(store, {
    dimensions: plan.recipe.model.dimensions,
    async *nearShards() {
      yield* found
    },
  })
  return { index, receipt: largest.receipt }
}

interface IndexedCheckpoint extends IndexedShard {
  readonly receipt: Receipt
}

/** The readable checkpoints of a shard, the largest first. */
export async function listCheckpoints(
  store: Store,
  plan: Pick<Plan, 'run' | 'shards' | 'spaceId' | 'recipeId'>,
  shard: number,
  signal?: AbortSignal,
): Promise<IndexedCheckpoint[]> {
  const found: IndexedCheckpoint[] = []
  for await (const { key, size } of store.list(checkpointPrefix(plan.run, shard, plan.shards), { signal })) {
    const footer = await undefinedIfCorrupt(readFooter(store, key, { size, signal }))
    const { receipt } = footer ?? {}
    const isOwn = receipt?.run === plan.run && receipt.shard === shard && sameRecipe(receipt, plan)
    const indexed =
      footer && isOwn ? await undefinedIfCorrupt(indexShard(store, key, footer, signal)) : undefined
    if (indexed && receipt) found.push({ ...indexed, receipt })
  }
  return found.sort((a, b) => b.receipt.rows - a.receipt.rows)
}
