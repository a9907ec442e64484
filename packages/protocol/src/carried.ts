// A carried shard is the object of a base run under a key of this run, byte for byte, with the
// receipt of the run that made it. What makes it the shard of its slice is what the receipt proves:
// the same recipe, and the same ranges of the same object versions.

import type { Slice } from './corpus.ts'
import { sameRecipe } from './identity.ts'
import { baseRunsOf, type Plan } from './plan.ts'
import type { Receipt } from './receipt.ts'

/** Whether another run made the shard. */
export const isCarried = (receipt: Pick<Receipt, 'run'>, { run }: Pick<Plan, 'run'>): boolean =>
  receipt.run !== run

/**
 * Whether a receipt is that of shard `shard` of the plan: made by its run, or carried over from a
 * run that was cut in the same way there. The audit checks that the ranges tile the corpus.
 */
export function isShardOf(receipt: Receipt, plan: Plan, shard: number, slice: Slice): boolean {
  if (!isCarried(receipt, plan)) return receipt.shard === shard
  return baseRunsOf(plan).length > 0 && sameRecipe(receipt, plan) && isMadeFrom(receipt, slice)
}

function isMadeFrom({ source }: Receipt, { parts }: Slice): boolean {
  return (
    source.length === parts.length &&
    source.every(({ key, etag, start, lines }, index) => {
      const part = parts[index]
      const isSame = part?.key === key && part.etag === etag
      // A range begins with the first record that begins in the part.
      return isSame && (lines === 0 || (start >= part.start && start <= part.end))
    })
  )
}

/** What a shard cost its run: a carried one costs no tokens, and all its rows are reused. */
export const costOf = (receipt: Receipt, plan: Pick<Plan, 'run'>): Pick<Receipt, 'tokens' | 'reused'> =>
  isCarried(receipt, plan)
    ? { tokens: 0, reused: receipt.rows }
    : { tokens: receipt.tokens, reused: receipt.reused ?? 0 }
