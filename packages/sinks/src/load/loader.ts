// The worker's side of a load: one job in, one shard in the vector store. The job names the load;
// its order in the output names the target. A party with write access to the output can write an
// order, so a worker connects only to the vector stores that it was started with, and takes their
// credentials from its own URLs and environment.

import { columnsOf, columnsUnder, shardsOf } from '@reembed/export'
import {
  type LoadedShard,
  readLoadedShard,
  requireLoadOrder,
  requireTargetName,
  targetsOf,
} from '@reembed/protocol'
import { type Job, storeKey } from '@reembed/queue'
import { requireManifest } from '@reembed/shard'
import { createMemo, ReembedError, type RetryOptions } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { credentialsHint, openVectorStore, storeAddress } from './open.ts'
import { isNotHeld, type Target, type VectorStore } from './vector-store.ts'
import { writeShard } from './write-shard.ts'

/** Loads shards for a worker; see `WorkerOptions.loader`. */
export interface ShardLoader extends AsyncDisposable {
  /** The vector stores that it loads into, see `storeKey`. */
  readonly stores: readonly string[]
  /**
   * Writes the shard of a job. Idempotent. Undefined for a load that is over: its target was
   * dropped or replaced.
   */
  load(output: Store, job: Job, options: RetryOptions): Promise<LoadedShard | undefined>
}

const KEPT_LOADS = 4

/**
 * @param urls of vector stores, see `openVectorStore`
 * @throws ReembedError USAGE for an invalid URL
 */
export function createShardLoader(urls: readonly string[]): ShardLoader {
  const urlOf = new Map(urls.map(url => [storeAddress(url), url]))
  const stores = createMemo<string, VectorStore>()
  const loads = createMemo<string, Awaited<ReturnType<typeof open>>>({ max: KEPT_LOADS })

  async function open(output: Store, { run, load }: Job) {
    const order = await requireLoadOrder(output, run, load?.id ?? '')
    const { address, name, target } = order
    const url = urlOf.get(address)
    // The queue offers no such job, unless the job names another store than its order.
    if (url === undefined) {
      throw new ReembedError(
        'JOB_INVALID',
        `this worker does not load into ${address}, only into ${[...urlOf.keys()].join(', ')}: start a worker that names it`,
        { retry: 'requeue' },
      )
    }
    if (!targetsOf(requireTargetName(name), run).includes(target)) {
      throw new ReembedError(
        'CORRUPT',
        `the load ${order.load} of run ${run} in ${output.url} names the target '${target}', which is not of that run: load the run again`,
      )
    }
    const manifest = await requireManifest(output, run)
    const vectors = await stores.get(address, () => openVectorStore(url))
    const extra = columnsUnder(columnsOf(manifest, { identifiers: vectors.identifiers }))
    const shards = await Array.fromAsync(shardsOf(output, manifest))
    return { vectors, shards, target: { name, target, manifest, extra } satisfies Target }
  }

  async function load(output: Store, job: Job, options: RetryOptions): Promise<LoadedShard | undefined> {
    const id = job.load?.id ?? ''
    const { vectors, shards, target } = await loads.get(`${output.url} ${id}`, () => open(output, job))
    const known = await readLoadedShard(output, target.manifest, id, job.shard)
    if (known) return known
    const shard = shards[job.shard]
    if (shard === undefined)
      throw new ReembedError('JOB_INVALID', `run ${job.run} has no shard ${job.shard}: remove the job`)
    if ((await vectors.holds(target.target)) !== id) return undefined
    return writeShard(output, vectors, { ...options, target, load: id, shard }).catch((error: unknown) => {
      // Dropped or replaced meanwhile.
      if (isNotHeld(error)) return undefined
      throw error
    })
  }

  return {
    stores: [...urlOf.keys()].map(storeKey),
    load: (output, job, options) =>
      load(output, job, options).catch((error: unknown) => {
        if (!(error instanceof ReembedError) || error.code !== 'STORE_ACCESS_DENIED') throw error
        const { code, message } = error
        const denying = [...urlOf].find(([address]) => message.includes(address.replace(/^[a-z]+\+/, '')))
        if (denying === undefined) throw error
        throw new ReembedError(code, `${message}; ${credentialsHint(denying[1])}`, { cause: error })
      }),
    async [Symbol.asyncDispose]() {
      for (const store of await stores.settled()) await store[Symbol.asyncDispose]()
    },
  }
}
