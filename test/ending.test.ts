// The end of a run after its last shard: one worker finalizes it, and a lost worker is replaced.

import { createSweeper } from '@reembed/producer'
import { readCurrent, readSeq, requirePlan } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { openStore, type Store } from '@reembed/store'
import { expect, test } from 'vitest'
import { enqueueRun } from './parts/enqueued-run.ts'
import { embedAll } from './parts/make-run.ts'

const SHARDS = 20

test('P-END: only one of two sweepers reads the shards of a complete run, with at most three requests for each', async () => {
  await using stack = new AsyncDisposableStack()
  const { run, shards, redis, gate, to } = await enqueueRun(stack, SHARDS)
  const store = stack.use(await openStore(to))
  await embedAll(store, await requirePlan(store, run), gate.url)

  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  let requests = 0
  const counted: Store = {
    ...store,
    async head(key, options) {
      if (key.includes('/data/')) requests += 1
      return store.head(key, options)
    },
    async get(key, options) {
      if (key.includes('/data/')) {
        requests += 1
        reached.resolve()
        await opened.promise
      }
      return store.get(key, options)
    },
  }
  const queues = [stack.use(await openQueue(redis.url)), stack.use(await openQueue(redis.url))] as const
  const first = createSweeper(counted, queues[0]).sweep()
  await reached.promise
  const second = createSweeper(counted, queues[1])
  expect(await second.sweep()).toEqual([{ run, status: 'running', missing: 0, enqueued: 0 }])
  opened.resolve()
  expect(await first).toMatchObject([{ run, status: 'finished', publish: { status: 'published' } }])
  expect(requests).toBeLessThanOrEqual(3 * shards)
  expect(await second.sweep()).toEqual([])
  // No state of it requests a worker, beside the jobs that no worker took.
  expect(await queues[0].counts()).toMatchObject({ delayed: 0 })
})

test('P-END: the last worker makes its last shard and finalizes the run when it receives SIGTERM', async () => {
  await using stack = new AsyncDisposableStack()
  const run = await enqueueRun(stack, 1)
  run.gate.closeAfter(0)
  const worker = run.worker()
  await run.gate.closed
  worker.child.kill('SIGTERM')
  await worker.line(/stopping/)
  run.gate.open()
  const { code } = await worker.finished
  expect(code).toBe(0)
  await using store = await openStore(run.to)
  const [{ seq } = { seq: 0 }] = await readSeq(store)
  expect(await readCurrent(store)).toMatchObject({ run: run.run, seq })
})
