// Reads a shard that this worker did not put: of a concurrent writer, or of an earlier attempt.

import { isShardOf, type Plan, type Receipt, type Slice } from '@reembed/protocol'
import { readReceipt } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

/**
 * The receipt and the size of the shard, which is equivalent if it belongs to this job.
 * @throws ReembedError CORRUPT if it does not
 */
export async function readConcurrentShard(
  store: Store,
  key: string,
  plan: Plan,
  shard: number,
  slice: Slice,
): Promise<{ receipt: Receipt; bytes: number }> {
  const { receipt, size } = await readReceipt(store, key)
  if (isShardOf(receipt, plan, shard, slice) && receipt.spaceId === plan.spaceId)
    return { receipt, bytes: size }
  throw new ReembedError(
    'CORRUPT',
    `${key} in ${store.url} holds a shard of run ${receipt.run} instead of ${plan.run}: move it elsewhere, then retry the job`,
  )
}
