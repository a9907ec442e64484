// The end of a run after its last shard: one worker finalizes it, and a lost worker is replaced.

import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { createSweeper } from '@reembed/producer'
import { readCurrent, readSeq, requirePlan } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { openStore, type Store } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { expect, test } from 'vitest'
import { documents, reembed, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { openGate } from './parts/gate.ts'
import { embedAll } from './parts/make-run.ts'

const SHARDS = 20

/** Plans and enqueues a run of that many shards. */
async function enqueued(
  stack: AsyncDisposableStack,
  shards: number,
  output?: string,
  env: Record<string, string> = {},
) {
  const folder = stack.use(await temporaryFolder())
  const redis = stack.use(await startRedis())
  const tei = stack.use(await serveTei({ engine: createHashEngine({ dimensions: 8 }) }))
  const gate = stack.use(await openGate(tei.url))
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(5 * shards))
  const to = output ?? join(folder.path, 'vectors')
  const given = ['--output', to, '--endpoint', gate.url, '--redis', redis.url]
  const command = await reembed(
    ['enqueue', '--source', source, '--documents-per-shard', '5', '--json', ...given],
    env,
  )
  const { run, shards: planned } = JSON.parse(command.stdout)
  expect(planned).toBeGreaterThanOrEqual(shards)
  return { run, shards: planned, redis, gate, to, worker: () => start(['worker', ...given], env) }
}

test('P-END: of two sweepers that find a run complete, one reads its shards, with three requests for each', async () => {
  await using stack = new AsyncDisposableStack()
  const { run, shards, redis, gate, to } = await enqueued(stack, SHARDS)
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

test('P-END: a run whose worker is lost while it finalizes requests another, which may be stopped', async () => {
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
  const run = await enqueued(stack, SHARDS, 's3://vectors/all', { ...s3.env })
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
  expect(stderr).toMatch(/"publish":"published"/)
  expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0, delayed: 0 })
}, 120_000)

test('P-END: the last worker finishes its last shard and finalizes the run when it is stopped', async () => {
  await using stack = new AsyncDisposableStack()
  const run = await enqueued(stack, 1)
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
