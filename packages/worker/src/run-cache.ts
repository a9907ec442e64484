// Resources that a worker keeps open between jobs: stores of outputs and corpora, and plans of
// runs. They are opened on first use and closed with the worker. A job must name an output that
// this worker serves.

import { type Plan, readSliceSegment, requirePlan, type Slice } from '@reembed/protocol'
import { type Job, servesOutput } from '@reembed/queue'
import {
  type BaseRuns,
  createBaseShardCache,
  createShardBufferPool,
  openBaseRuns,
  type ShardBufferPool,
} from '@reembed/shard'
import { createMemo, ReembedError } from '@reembed/shared'
import { openStore, requireWritable, type S3Options, type Store } from '@reembed/store'
import { requireAllowedSource } from './allowed-source.ts'
import { createRepeatedTexts, type RepeatedTexts } from './repeated-texts.ts'

export interface OpenRun {
  readonly store: Store
  readonly source: Store
  readonly plan: Plan
  slice(shard: number): Promise<Slice>
  /** The runs whose vectors unchanged texts reuse, if the plan names any that exist. */
  baseRuns(): Promise<BaseRuns | undefined>
  /** Memory for shards, shared by all runs of a worker. */
  readonly buffers: ShardBufferPool
  /** Kept for the runs that were used last. */
  repeatedTexts(): Promise<RepeatedTexts>
}

export interface RunCache extends AsyncDisposable {
  /**
   * @throws ReembedError JOB_INVALID (requeue) for an output that this worker does not serve,
   * RUN_NOT_FOUND for a run without a plan
   */
  open(job: Job): Promise<OpenRun>
  /** The output of a job that needs no plan. @throws ReembedError JOB_INVALID as `open` */
  output(job: Job): Promise<Store>
}

export interface RunCacheOptions {
  /** Outputs that this worker serves, outputs below them included. */
  readonly outputs: readonly string[]
  /** Corpora that this worker reads (see `WorkerOptions`). */
  readonly sources?: readonly string[] | undefined
  readonly s3?: S3Options | undefined
  readonly unsafeStore?: boolean | undefined
  /** How a URL becomes a store, and how the right to put is checked; replaced by the simulation. */
  readonly openUrl?: ((url: string) => Promise<Store>) | undefined
  readonly checkWritable?: ((store: Store) => Promise<void>) | undefined
}

/** Cached segments of a plan; jobs arrive almost in order, so a few suffice. */
const KEPT_SEGMENTS = 4

/** Runs whose repeated texts are kept: each takes tens of megabytes. */
const KEPT_REPEATED = 2

const UNSERVED_OUTPUT_DELAY_MS = 2_000

/** Keeps the stores, plans and base runs of the jobs of one worker open between jobs. */
export function createRunCache({
  outputs,
  sources,
  s3,
  unsafeStore: unsafe,
  openUrl = url => openStore(url, { s3, unsafe }),
  checkWritable = requireWritable,
}: RunCacheOptions): RunCache {
  const stores = createOpener(openUrl)
  const buffers = createShardBufferPool()
  const cache = createBaseShardCache()
  const repeated = createMemo<string, RepeatedTexts>({ max: KEPT_REPEATED })
  const writable = createOpener(async (output: string) => {
    const store = await stores.open(output)
    await checkWritable(store)
    return store
  })
  const runs = createOpener(async (name: string) => {
    const { output, run } = JSON.parse(name) as Pick<Job, 'output' | 'run'>
    const store = await writable.open(output)
    const plan = await requirePlan(store, run)
    requireAllowedSource(plan.source, output, sources)
    const bases = createOpener(() => openBaseRuns(store, plan, { cache }))
    return {
      store,
      source: await stores.open(plan.source),
      plan,
      slice: createSliceReader(store, plan),
      baseRuns: () => bases.open(''),
      buffers,
      repeatedTexts: () => repeated.get(name, async () => createRepeatedTexts(plan.recipe.model.dimensions)),
    }
  })

  // The queue offers no such job, unless its id names another output than its data. Another worker
  // may serve it, so it is delayed, not failed.
  function requireServed(output: string): void {
    if (servesOutput(outputs, output)) return
    throw new ReembedError(
      'JOB_INVALID',
      `this worker does not serve the output ${output}, only ${outputs.join(', ')}: start a worker that serves it`,
      { retry: 'requeue', retryAfterMs: UNSERVED_OUTPUT_DELAY_MS },
    )
  }

  return {
    async open({ output, run }) {
      requireServed(output)
      return runs.open(JSON.stringify({ output, run }))
    },
    async output({ output }) {
      requireServed(output)
      return writable.open(output)
    },
    async [Symbol.asyncDispose]() {
      for (const store of await stores.settled()) await store[Symbol.asyncDispose]()
    },
  }
}

function createSliceReader(store: Store, plan: Plan): (shard: number) => Promise<Slice> {
  const kept = createMemo<number, Slice[]>({ max: KEPT_SEGMENTS })
  return async shard => {
    const segment = Math.floor(shard / plan.slicesPerSegment)
    const rows = await kept.get(segment, () => readSliceSegment(store, plan, segment))
    const slice = rows[shard - segment * plan.slicesPerSegment]
    if (slice) return slice
    throw new ReembedError(
      'JOB_INVALID',
      `invalid job: shard ${shard} of run ${plan.run}, whose plan has ${plan.shards} shards: remove the job`,
    )
  }
}

/** Opens each name once, concurrent calls included; a failed opening is not cached. */
function createOpener<T>(make: (name: string) => Promise<T>) {
  const opened = createMemo<string, T>()
  return { open: (name: string) => opened.get(name, () => make(name)), settled: opened.settled }
}
