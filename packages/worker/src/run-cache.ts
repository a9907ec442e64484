// What a worker keeps open between jobs: each output's store, each run's plan, each corpus. Opened on first use,
// closed with the worker. A job may only name an output that this worker was told to serve.

import { type Plan, readSliceSegment, requirePlan, type Slice } from '@reembed/protocol'
import type { Job } from '@reembed/queue'
import { type BaseRun, createShardBufferPool, openBaseRun, type ShardBufferPool } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import { openStore, type S3Options, type Store } from '@reembed/store'

export interface OpenRun {
  readonly store: Store
  readonly source: Store
  readonly plan: Plan
  slice(shard: number): Promise<Slice>
  /** The run that unchanged texts take their vectors from, if the plan names one and it is there. */
  baseRun(): Promise<BaseRun | undefined>
  /** Memory for shards, shared by all runs of a worker. */
  readonly buffers: ShardBufferPool
}

export interface RunCache extends AsyncDisposable {
  /** @throws ReembedError JOB_INVALID (try later) for an output this worker doesn't serve, RUN_NOT_FOUND for a run that is not planned there. */
  open(job: Job): Promise<OpenRun>
}

export interface RunCacheOptions {
  /** Outputs this worker serves; an output below one of these is served as well. */
  readonly outputs: readonly string[]
  readonly s3?: S3Options | undefined
  readonly unsafeStore?: boolean | undefined
  /** How a URL becomes a store; another way for the simulation. */
  readonly openUrl?: ((url: string) => Promise<Store>) | undefined
}

/** Segments of a plan that are kept; jobs come about in order, so a few do. */
const KEPT_SEGMENTS = 4

const UNSERVED_OUTPUT_DELAY_MS = 2_000

export function createRunCache({
  outputs,
  s3,
  unsafeStore: unsafe,
  openUrl = url => openStore(url, { s3, unsafe }),
}: RunCacheOptions): RunCache {
  const stores = createOpener(openUrl)
  const buffers = createShardBufferPool()
  const runs = createOpener(async (name: string) => {
    const { output, run } = JSON.parse(name) as Pick<Job, 'output' | 'run'>
    const store = await stores.open(output)
    const plan = await requirePlan(store, run)
    const bases = createOpener(() => openBaseRun(store, plan))
    return {
      store,
      source: await stores.open(plan.source),
      plan,
      slice: createSliceReader(store, plan),
      baseRun: () => bases.open(''),
      buffers,
    }
  })

  return {
    async open({ output, run }) {
      if (!outputs.some(served => output === served || output.startsWith(`${served.replace(/\/+$/, '')}/`))) {
        // Another worker on this Redis does; until it comes, the job waits. Failing it would take it from that worker.
        throw new ReembedError(
          'JOB_INVALID',
          `this worker does not serve the output ${output}, only ${outputs.join(', ')}: left to another worker`,
          { retry: 'requeue', retryAfterMs: UNSERVED_OUTPUT_DELAY_MS },
        )
      }
      return runs.open(JSON.stringify({ output, run }))
    },
    async [Symbol.asyncDispose]() {
      for (const store of await stores.settled()) await store[Symbol.asyncDispose]()
    },
  }
}

function createSliceReader(store: Store, plan: Plan): (shard: number) => Promise<Slice> {
  const kept = new Map<number, Promise<Slice[]>>()
  return async shard => {
    const segment = Math.floor(shard / plan.slicesPerSegment)
    let rows = kept.get(segment)
    if (rows === undefined) {
      rows = readSliceSegment(store, plan, segment)
      rows.catch(() => kept.delete(segment))
      kept.set(segment, rows)
      const oldest = kept.keys().next().value
      if (kept.size > KEPT_SEGMENTS && oldest !== undefined) kept.delete(oldest)
    }
    const slice = (await rows)[shard - segment * plan.slicesPerSegment]
    if (slice) return slice
    throw new ReembedError(
      'JOB_INVALID',
      `invalid job: run ${plan.run} has no shard ${shard}, its plan has ${plan.shards}`,
    )
  }
}

/** Opens each name once, also when asked twice at the same time; a failure is not kept. */
function createOpener<T>(make: (name: string) => Promise<T>) {
  const opened = new Map<string, Promise<T>>()
  return {
    open(name: string): Promise<T> {
      const known = opened.get(name)
      if (known) return known
      const fresh = make(name)
      opened.set(name, fresh)
      fresh.catch(() => opened.delete(name))
      return fresh
    },
    async settled(): Promise<T[]> {
      const results = await Promise.allSettled(opened.values())
      return results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
    },
  }
}
