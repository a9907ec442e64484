// One shard: its receipt, or why it has none.

import { type Plan, type Receipt, readSliceSegment, requirePlan } from '@reembed/protocol'
import type { JobAttempts } from '@reembed/queue'
import { readReceipt } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface ShardDetail {
  readonly shard: number
  readonly key: string
  /** Undefined while the store has no object of the shard. */
  readonly receipt: Receipt | undefined
  readonly bytes: number | undefined
  /** The ranges of the corpus that the plan gives it. */
  readonly source: readonly { readonly key: string; readonly start: number; readonly end: number }[]
  /** The last error of its job, if it has no attempts left. */
  readonly failure: string | undefined
  /** Undefined if Redis holds no job of it. */
  readonly attempts: JobAttempts | undefined
}

/**
 * Reads the receipt and the slice of a shard.
 * @param job what Redis knows about the shard's job
 * @returns undefined for a number that is no shard of the run
 */
export async function readShardDetail(
  store: Store,
  run: string,
  shard: number,
  job: Pick<ShardDetail, 'failure' | 'attempts'>,
): Promise<ShardDetail | undefined> {
  const plan = await requirePlan(store, run)
  if (!Number.isInteger(shard) || shard < 0 || shard >= plan.shards) return undefined
  const key = shardKey(run, shard, plan.shards)
  const found = await store.head(key)
  const read = found && (await readReceipt(store, key))
  return {
    shard,
    key,
    receipt: read?.receipt,
    bytes: found?.size,
    source: await sliceOf(store, plan, shard),
    ...job,
  }
}

async function sliceOf(store: Store, plan: Plan, shard: number): Promise<ShardDetail['source']> {
  const segment = Math.floor(shard / plan.slicesPerSegment)
  const slices = await readSliceSegment(store, plan, segment)
  const parts = slices[shard - segment * plan.slicesPerSegment]?.parts ?? []
  return parts.map(({ key, start, end }) => ({ key, start, end }))
}
