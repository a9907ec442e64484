// What the fleet benches hold the shards of a run to: every document once, with exactly the fake's vector for its text.

import { hashVector } from '@reembed/local/testing'
import { type Plan, readShard, type Store, shardKey } from '@reembed/shared'
import { DIMENSIONS, textOf } from './texts.ts'

/** @throws Error for a vector that is not that of its document, or when there are not as many rows as documents. */
export async function checkShards(store: Store, plan: Plan, documents: number): Promise<void> {
  const seen = new Uint8Array(documents)
  for (let shard = 0; shard < plan.shards; shard++) {
    for await (const { ids, vectors } of readShard(store, shardKey(plan.run, shard, plan.shards))) {
      for (const [row, id] of ids.entries()) {
        const expected = hashVector(textOf(Number(id)), { dimensions: DIMENSIONS })
        const got = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
        if (expected.some((value, d) => value !== got[d])) throw new Error(`the vector of ${id} is wrong`)
        seen[Number(id)] = (seen[Number(id)] ?? 0) + 1
      }
    }
  }
  const wrong = seen.findIndex(times => times !== 1)
  if (wrong >= 0) throw new Error(`document ${wrong} has ${seen[wrong]} rows`)
}
