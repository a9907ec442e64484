// A worker that dies while it ends a run: its lease must expire first, which takes half a minute.

import { openQueue } from '@reembed/queue'
import { startS3Server } from '@reembed/testing'
import { expect, test } from 'vitest'
import { enqueueRun } from './parts/enqueued-run.ts'

const SHARDS = 20

test('P-END: a run requests another worker when its worker is killed while it finalizes, and that worker completes it on SIGTERM', async () => {
  await using stack = new AsyncDisposableStack()
  let delayMs = 600_000
  let looked = Promise.withResolvers<void>()
  let shards = 0
  let made = 0
  const s3 = stack.use(
    await startS3Server({
      buckets: ['vectors'],
      faults({ operation, key }) {
        if (!key.includes('/data/')) return undefined
        if (operation === 'PutObject') made += 1
        if (operation !== 'GetObject' || made < shards) return undefined
        looked.resolve()
        return { delayMs }
      },
    }),
  )
  const run = await enqueueRun(stack, SHARDS, 's3://vectors/all', { ...s3.env })
  shards = run.shards
  const queue = stack.use(await openQueue(run.redis.url))

  const lost = run.worker()
  await looked.promise
  lost.child.kill('SIGKILL')
  await lost.finished
  expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0, delayed: 1 })

  delayMs = 100
  looked = Promise.withResolvers()
  const next = run.worker()
  await looked.promise
  next.child.kill('SIGTERM')
  const { code, stderr } = await next.finished
  expect(code).toBe(0)
  expect(stderr).toMatch(/"state":"published"/)
  expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0, delayed: 0 })
}, 120_000)
