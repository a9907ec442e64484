// A load by the workers of a queue, one job for each shard. The records of loaded shards in the
// output are the truth: jobs that Redis has lost are added again. The process that called the load
// prepares the target, follows the records, builds the index and proves the load: one actor, whose
// end a second call takes over. Workers only write shards.

import { setTimeout as sleep } from 'node:timers/promises'
import { type LoadedShard, type Manifest, readLoadedShards } from '@reembed/protocol'
import { loadersOf, type Queue, type RunPointer, storeKey, waitOfLoaders } from '@reembed/queue'
import { ReembedError, type RetryOptions, withRetries } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { notHeld, type VectorStore } from './vector-store.ts'

/** The queue as a load uses it. */
export type LoadQueue = Pick<Queue, 'add' | 'counts' | 'failures' | 'removeFailed' | 'settle' | 'workers'>

export interface FleetLoad {
  readonly manifest: Manifest
  readonly load: string
  readonly target: string
  readonly done: ReadonlySet<number>
}

const POLL_MS = 500
/** A LIST takes at most this part of the time. */
const LIST_SHARE = 0.05
/** Times that jobs are added again without a new record. */
const MAX_IDLE = 3

/**
 * Has workers write the missing shards, and yields each one when it is recorded. A failed job of an
 * earlier call is tried again.
 * @throws ReembedError SHARD_FAILED if every missing shard has failed, or jobs end without a record
 * @throws ReembedError USAGE if the target does not hold the load any more
 * @throws ReembedError REDIS_UNREACHABLE
 */
export async function* writtenByFleet(
  source: Store,
  queue: LoadQueue,
  vectors: Pick<VectorStore, 'address' | 'holds'>,
  { manifest, load, target, done }: FleetLoad,
  { signal, onWait }: RetryOptions,
): AsyncGenerator<LoadedShard, void, undefined> {
  const { run, shards } = manifest
  const { address } = vectors
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
  let idle = 0
  while (true) {
    const startedMs = performance.now()
    for await (const loaded of readLoadedShards(source, manifest, load, known)) {
      known.add(loaded.shard)
      idle = 0
      yield loaded
    }
    const listedMs = performance.now() - startedMs
    const missing = shards - known.size
    if (missing === 0) return
    // A job may have ended since the LIST, so jobs are added only if they lack twice.
    const jobs = await queue.counts(of)
    const pending = jobs.waiting + jobs.active + jobs.delayed
    const lacks = pending + jobs.failed < missing
    // Redis keeps a part of the failed jobs. The others fail again, until a round has no record.
    if (jobs.failed >= missing || (lacks && hasLacked && idle > 0 && pending === 0 && jobs.failed > 0))
      throw await failed(queue, of, missing)
    if (lacks && hasLacked && !(await queue.settle(signal))) {
      const held = await withRetries(() => vectors.holds(target), { signal, onWait })
      if (held !== load) throw notHeld(target, load, address, 'load the run again')
      if (idle === MAX_IDLE && pending === 0) throw foreignTarget(of, target, address)
      if (idle < MAX_IDLE && (await add()) > 0) idle += 1
    }
    hasLacked = lacks
    const waitingFor = waitOfLoaders(await loadersOf(queue, source.url, address), address)
    if (waitingFor !== undefined) onWait?.(waitingFor)
    await sleep(Math.max(POLL_MS, listedMs / LIST_SHARE), undefined, { signal }).catch(() =>
      signal?.throwIfAborted(),
    )
  }
}

async function failed(queue: LoadQueue, of: RunPointer, missing: number): Promise<ReembedError> {
  const [first] = await queue.failures(of, 1)
  return new ReembedError(
    'SHARD_FAILED',
    `${missing === 1 ? `shard ${first?.shard}` : `${missing} shards, among them ${first?.shard},`} of run ${of.run} could not be loaded: ${first?.reason.replace(/\.$/, '')}. Loaded shards are kept: fix the cause and load again`,
  )
}

/** Workers end a job without a record where they find another load, or none, under the address. */
const foreignTarget = ({ run }: RunPointer, target: string, address: string): ReembedError =>
  new ReembedError(
    'SHARD_FAILED',
    `workers ended jobs of run ${run} ${MAX_IDLE + 1} times without loading a shard: '${target}' is at ${address} for this process, and a worker finds another store under that address. Use an address that names the same store on every machine, and load again`,
  )
