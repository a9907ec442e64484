// Sweeps of the runs in a store, with a queue in any state. The store is a real folder.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { type Plan, readRunStateRecord, setRunState, shardsPresent } from '@reembed/protocol'
import type { Job, Queue, RunPointer } from '@reembed/queue'
import { planKey, shardKey } from '@reembed/shared'
import { openDeleter, openStore, type Store } from '@reembed/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { enqueueMissing } from '../src/enqueue.ts'
import { followRun, pollMs } from '../src/follow.ts'
import { deleteRuns } from '../src/gc.ts'
import { createSweeper } from '../src/sweep.ts'

const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
let folder: string
let store: Store
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-sweep-'))
  store = await openStore(join(folder, 'vectors'), { create: true })
})
afterEach(async () => {
  await store[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** Records the plan of a run of four shards over a corpus of that name. */
async function planned(name: string): Promise<Plan> {
  const source = join(folder, `${name}.jsonl`)
  const lines = Array.from({ length: 8 }, (_, i) => JSON.stringify({ id: `${name}-${i}`, text: `text ${i}` }))
  await writeFile(source, `${lines.join('\n')}\n`)
  await using corpus = await openCorpus(source)
  const survey = await planRun(corpus, { model: MODEL, documentsPerShard: 2 })
  const { plan } = await recordPlan(store, survey)
  expect(plan.shards).toBe(4)
  return plan
}

/** A queue that holds the jobs added to it, as Redis would, until it is emptied. */
function heldJobs(settle: () => Promise<boolean> = async () => false) {
  const jobs = new Map<string, Job>()
  let adds = 0
  const queue = {
    async add(more: readonly Job[]) {
      adds += more.length
      const before = jobs.size
      for (const job of more) jobs.set(`${job.run} ${job.shard}`, job)
      return jobs.size - before
    },
    async counts(of?: RunPointer) {
      const waiting = [...jobs.values()].filter(({ run }) => run === (of?.run ?? run)).length
      return { waiting, active: 0, delayed: 0, failed: 0 }
    },
    progress: async () => ({
      shards: 0,
      documents: 0,
      rows: 0,
      bytes: 0,
      truncated: 0,
      openDocuments: 0,
      rejects: 0,
      tokens: 0,
      unreadTokens: 0,
    }),
    settle,
    failures: async () => [],
    isFinalizing: async () => false,
    withFinalizeLease: (_: Job, finalize: () => Promise<unknown>) => finalize(),
  } as Partial<Queue> as Queue
  return {
    queue,
    jobs,
    get adds() {
      return adds
    },
  }
}

const put = (plan: Plan, shard: number) =>
  store.putIfAbsent(shardKey(plan.run, shard, plan.shards), Buffer.from('not a shard'))

test('I8: a sweep adds lost jobs again, only those whose shard is missing', async () => {
  const plan = await planned('a')
  await put(plan, 1)
  const held = heldJobs()
  const { sweep } = createSweeper(store, held.queue)
  expect(await sweep()).toEqual([{ run: plan.run, status: 'running', missing: 3, enqueued: 3 }])
  expect([...held.jobs.values()].map(({ shard }) => shard)).toEqual([0, 2, 3])
  held.jobs.clear()
  expect(await sweep()).toMatchObject([{ missing: 3, enqueued: 3 }])
})

test('I8: a sweep adds no job that workers put back after a loss of Redis', async () => {
  const plan = await planned('a')
  const held = heldJobs(async () => {
    for (const shard of [0, 1, 2, 3])
      held.jobs.set(`${plan.run} ${shard}`, { output: store.url, run: plan.run, shard })
    return true
  })
  const { sweep } = createSweeper(store, held.queue)
  expect(await sweep()).toMatchObject([{ missing: 4, enqueued: 0 }])
  expect(held.adds).toBe(0)
})

test('I8: a sweep adds no job while the queue holds enough and the run progresses', async () => {
  const plan = await planned('a')
  const held = heldJobs()
  const { sweep } = createSweeper(store, held.queue)
  await sweep()
  await put(plan, 0)
  expect(await sweep()).toMatchObject([{ missing: 3, enqueued: 0 }])
  await put(plan, 1)
  expect(await sweep()).toMatchObject([{ missing: 2, enqueued: 0 }])
  expect(held.adds).toBe(4)
})

test('I8: the jobs of one run do not hide that another has none', async () => {
  const first = await planned('a')
  const held = heldJobs()
  const sweeper = createSweeper(store, held.queue)
  await sweeper.sweep()
  const second = await planned('b')
  await sweeper.sweep()
  const runs = [...held.jobs.values()].map(({ run }) => run)
  expect(new Set(runs)).toEqual(new Set([first.run, second.run]))
  expect(runs).toHaveLength(8)
})

test.each(['paused', 'cancelled'] as const)(
  'P-PAUSE: a sweep skips a %s run and enqueues the others',
  async state => {
    const plan = await planned('a')
    const other = await planned('b')
    await setRunState(store, plan.run, state)
    const held = heldJobs()
    expect(await createSweeper(store, held.queue).sweep()).toEqual([
      { run: plan.run, status: state },
      { run: other.run, status: 'running', missing: 4, enqueued: 4 },
    ])
  },
)

test('I8: a damaged run is recorded as failed, tried again when resumed, and delays no other', async () => {
  const damaged = await planned('a')
  for (let shard = 0; shard < 4; shard++) await put(damaged, shard)
  const other = await planned('b')
  const { sweep } = createSweeper(store, heldJobs().queue)
  expect(await sweep()).toMatchObject([
    { run: damaged.run, status: 'broken', error: { code: 'CORRUPT' } },
    { run: other.run, status: 'running' },
  ])
  const recorded = await readRunStateRecord(store, damaged.run)
  expect(recorded).toMatchObject({ state: 'failed', by: 'sweeper', failure: { code: 'CORRUPT' } })
  expect(await createSweeper(store, heldJobs().queue).sweep()).toMatchObject([
    { run: damaged.run, status: 'failed', failure: { code: 'CORRUPT' } },
    { run: other.run, status: 'running' },
  ])
  await setRunState(store, damaged.run, 'running')
  expect(await sweep()).toMatchObject([{ run: damaged.run, status: 'broken' }, {}])
})

test('I8: a run is swept again after a transient fault of the store', async () => {
  const plan = await planned('a')
  let faults = 1
  const flaky: Store = {
    ...store,
    list(prefix, options) {
      if (prefix.includes('/data') && faults-- > 0) throw new Error('the connection was closed')
      return store.list(prefix, options)
    },
  }
  const { sweep } = createSweeper(flaky, heldJobs().queue)
  expect(await sweep()).toMatchObject([{ run: plan.run, status: 'broken' }])
  expect(await sweep()).toMatchObject([{ run: plan.run, status: 'running', enqueued: 4 }])
})

test('a run that gc deletes ends followRun, also when its plan is deleted between two sweeps', async () => {
  const plan = await planned('a')
  await setRunState(store, plan.run, 'deleting')
  const { queue } = heldJobs()
  const signal = AbortSignal.timeout(10_000)
  await expect(followRun({ store, queue, plan, signal })).rejects.toMatchObject({
    code: 'RUN_STOPPED',
    reason: 'run_deleting',
  })
  await using deleter = await openDeleter(join(folder, 'vectors'))
  await deleter.delete(planKey(plan.run))
  await expect(followRun({ store, queue, plan, signal })).rejects.toMatchObject({ code: 'RUN_STOPPED' })
}, 15_000)

test('a run that gc deletes while its jobs are added is reported as deleted, not as damaged', async () => {
  const plan = await planned('a')
  await setRunState(store, plan.run, 'cancelled')
  await using deleter = await openDeleter(join(folder, 'vectors'))
  const rules = { keep: 1, beforeMs: Date.now() + 1_000, run: plan.run }
  await Array.fromAsync(deleteRuns(store, deleter, [plan.run], rules))
  expect((await readRunStateRecord(store, plan.run)).state).toBe('deleted')
  const { queue, jobs } = heldJobs()
  const present = await shardsPresent(store, plan)
  await expect(enqueueMissing(queue, store, plan, present)).rejects.toMatchObject({
    code: 'RUN_STOPPED',
    message: expect.stringContaining(`run ${plan.run} in ${store.url} was deleted`),
  })
  expect(jobs.size).toBe(0)
})

test('progress is reported at most three times a second and at the last shard, and a finished run is polled less often', async () => {
  const plan = await planned('a')
  for (const shard of [0, 1, 2]) await put(plan, shard)
  const { queue } = heldJobs()
  const before = await queue.progress({ output: store.url, run: plan.run })
  const calls: { readonly atMs: number; readonly done: number }[] = []
  const sweepsMs: number[] = []
  const held = { status: 'held', by: 'gates', reason: '', gates: [] } as const
  // The fourth shard is completed after the third call, and another process finalizes the run.
  await followRun({
    ...{ store, plan },
    queue: {
      ...queue,
      progress: async () => ({ ...before, shards: calls.length < 3 ? 3 : 4 }),
      counts: async () => ({ waiting: 0, active: 1, delayed: 0, failed: 0 }),
    },
    sweeper: {
      async sweep() {
        sweepsMs.push(performance.now())
        return sweepsMs.length < 3
          ? [{ run: plan.run, status: 'running', missing: 0, enqueued: 0 }]
          : [{ run: plan.run, status: 'finished', publish: held }]
      },
    },
    onProgress: ({ shardsDone }) => calls.push({ atMs: performance.now(), done: shardsDone }),
    signal: AbortSignal.timeout(10_000),
  })
  const [regular, atEnd] = [calls.slice(0, 3), calls.slice(3)]
  expect(regular.map(({ done }) => done)).toEqual([3, 3, 3])
  const gaps = (times: readonly number[]) => times.slice(1).map((ms, i) => ms - (times[i] ?? 0))
  // A timer may fire a millisecond early.
  expect(Math.min(...gaps(regular.map(({ atMs }) => atMs)))).toBeGreaterThan(290)
  expect(atEnd[0]?.done).toBe(4)
  expect(atEnd[0]?.atMs).toBeLessThanOrEqual(sweepsMs[0] ?? 0)
  // A fifth of the 600 ms that it took, not the interval before the last shards.
  expect(Math.min(...gaps(sweepsMs))).toBeGreaterThan(100)
})

test('a run is polled more often the sooner its last shard is expected, and rarely while it stalls', () => {
  const poll = (seconds: number, done: number, missing: number, stalled = 0): number =>
    pollMs({ elapsedMs: 1_000 * seconds, stalledMs: 1_000 * stalled, done, missing })
  expect([poll(10, 2_500, 100), poll(10, 2_500, 5), poll(10, 2_500, 1)]).toEqual([40, 20, 20])
  expect(poll(1, 1, 1)).toBe(100)
  expect(poll(60, 0, 1)).toBe(300)
  expect([poll(14, 2_589, 1, 1), poll(16, 2_589, 1, 3), poll(600, 2_589, 1, 590)]).toEqual([100, 300, 300])
  expect([poll(0.3, 1, 0), poll(60, 1, 0)]).toEqual([60, 300])
})
