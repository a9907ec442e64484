// A load by the workers of a queue, one job for each shard. The records of loaded shards in the
// output are the truth: jobs that Redis has lost are added again. The process that called the load
// prepares the target, follows the records, builds the index and proves the load: one actor, whose
// end a second call takes over. Workers only write shards.

import { setTimeout as sleep } from 'node:timers/promises'
import { type LoadedShard, type Manifest, readLoadedShards } from '@reembed/protocol'
import { loadersOf, type Queue, type RunPointer, storeKey, waitOfLoaders } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { RetryOptions } from './retries.ts'

/** The queue as a load uses it. */
export type LoadQueue = Pick<Queue, 'add' | 'counts' | 'failures' | 'removeFailed' | 'settle' | 'workers'>

export interface FleetLoad {
  readonly manifest: Manifest
  readonly load: string
  readonly address: string
  readonly done: ReadonlySet<number>
}

const POLL_MS = 500
/** A LIST takes at most this part of the time. */
const LIST_SHARE = 0.05

/**
 * Has workers write the missing shards, and yields each one when it is recorded. A failed job of an
 * earlier call is tried again.
 * @throws ReembedError SHARD_FAILED if every missing shard has failed
 * @throws ReembedError REDIS_UNREACHABLE
 */
export async function* writtenByFleet(
  source: Store,
  queue: LoadQueue,
  { manifest, load, address, done }: FleetLoad,
  { signal, onWait }: RetryOptions,
): AsyncGenerator<LoadedShard, void, undefined> {
  const { run, shards } = manifest
  const of = { output: source.url, run, load: { id: load, store: storeKey(address) } }
  const known = new Set(done)
  const add = (): Promise<number> =>
    queue.add(
      Array.from({ length: shards }, (_, shard) => ({ ...of, shard })).filter(
        ({ shard }) => !known.has(shard),
      ),
    )
  await queue.removeFailed(of)
  await add()
  let hasLacked = false
  while (true) {
    const startedMs = performance.now()
    for await (const loaded of readLoadedShards(source, manifest, load, known)) {
      known.add(loaded.shard)
      yield loaded
    }
    const listedMs = performance.now() - startedMs
    const missing = shards - known.size
    if (missing === 0) return
    // A job may have ended since the LIST, so jobs are added only if they lack twice.
    const lacks = await isLacking(queue, of, missing)
    if (lacks && hasLacked && !(await queue.settle(signal))) await add()
    hasLacked = lacks
    const waitingFor = waitOfLoaders(await loadersOf(queue, source.url, address), address)
    if (waitingFor !== undefined) onWait?.(waitingFor)
    await sleep(Math.max(POLL_MS, listedMs / LIST_SHARE), undefined, { signal }).catch(() =>
      signal?.throwIfAborted(),
    )
  }
}

/**
 * Whether the queue holds fewer jobs than shards are missing.
 * @throws ReembedError SHARD_FAILED if every missing shard has failed
 */
async function isLacking(queue: LoadQueue, of: RunPointer, missing: number): Promise<boolean> {
  const { waiting, active, delayed, failed } = await queue.counts(of)
  if (failed < missing) return waiting + active + delayed + failed < missing
  const [first] = await queue.failures(of, 1)
  throw new ReembedError(
    'SHARD_FAILED',
    `${missing === 1 ? `shard ${first?.shard}` : `${missing} shards, among them ${first?.shard},`} of run ${of.run} could not be loaded: ${first?.reason.replace(/\.$/, '')}. Loaded shards are kept: fix the cause and load again`,
  )
}
