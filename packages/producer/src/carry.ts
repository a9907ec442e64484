// Carries unchanged shards over before the others get jobs: where a slice did not change, the store
// copies the shard of the base run. No job waits, no worker and no endpoint starts for them. Any
// process may repeat it: a copy is put only if its key is free.

import { type Plan, readRunState, readSliceSegment, type Slice } from '@reembed/protocol'
import { openBaseRuns } from '@reembed/shard'
import { mapConcurrent, shardKey } from '@reembed/shared'
import { ObjectNotFound, type Store } from '@reembed/store'

export interface CarryOptions {
  readonly signal?: AbortSignal | undefined
  /** Called with the number of shards that were carried over so far. */
  readonly onCarried?: ((shards: number) => void) | undefined
}

/** An S3 store has 64 connections for all calls of a process. */
const COPIES_AT_ONCE = 32

/**
 * Carries over each missing shard that a base run has for the same slice, and enters it in
 * `present`. Ends early where the store does not copy, and when the run is stopped. A shard that
 * cannot be carried stays missing, for the job that embeds it.
 * @param present the size of each shard of the run, 0 where it is missing
 * @returns the number of shards that were carried over
 */
export async function carryUnchanged(
  store: Store,
  plan: Plan,
  present: Uint32Array,
  { signal, onCarried = () => {} }: CarryOptions = {},
): Promise<number> {
  const baseRuns = await openBaseRuns(store, plan, { listed: true })
  if (baseRuns === undefined) return 0

  async function carry({ shard, slice }: MissingShard, stop: AbortSignal) {
    const reusable = await baseRuns?.reusableShard(slice, stop)
    if (reusable === undefined) return undefined
    stop.throwIfAborted()
    const to = shardKey(plan.run, shard, plan.shards)
    const outcome = await store.copyIfAbsent(reusable.key, to, { signal: stop }).catch((error: unknown) => {
      // gc deleted the base run since its footer was read.
      if (error instanceof ObjectNotFound) return undefined
      throw error
    })
    return { shard, size: reusable.size, outcome }
  }

  let carried = 0
  const copies = mapConcurrent(missingShards(store, plan, present), carry, {
    concurrency: COPIES_AT_ONCE,
    signal,
  })
  for await (const copy of copies) {
    // A folder may refuse a single link: a file has a limited number of names.
    if (copy?.outcome === 'unsupported' && carried === 0) break
    if (copy?.outcome !== 'created' && copy?.outcome !== 'exists') continue
    present[copy.shard] = copy.size
    carried += 1
    onCarried(carried)
  }
  return carried
}

interface MissingShard {
  readonly shard: number
  readonly slice: Slice
}

/** Reads the segments of the plan that have a missing shard. */
async function* missingShards(
  store: Store,
  plan: Plan,
  present: Uint32Array,
): AsyncGenerator<MissingShard, void, undefined> {
  const { run, shards, slicesPerSegment } = plan
  for (let first = 0; first < shards; first += slicesPerSegment) {
    if (!present.subarray(first, first + slicesPerSegment).includes(0)) continue
    // The run may be paused or deleted while its shards are carried over.
    if ((await readRunState(store, run)) !== 'running') return
    const slices = await readSliceSegment(store, plan, first / slicesPerSegment)
    for (const [i, slice] of slices.entries()) {
      if (present[first + i] === 0) yield { shard: first + i, slice }
    }
  }
}
