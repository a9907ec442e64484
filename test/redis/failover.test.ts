// A whole run on a Redis Cluster of six nodes, and behind three Sentinels: the server that holds
// the queue is killed in the middle, then all data is lost, and the run ends and verifies. Commands
// are sent and consumers start at any moment of the failover: none fails.

import { join } from 'node:path'
import { setInterval } from 'node:timers/promises'
import { createHashEngine, serveTei } from '@reembed/local'
import { consume, openQueue, type Queue } from '@reembed/queue'
import { expect, test } from 'vitest'
import { documents, flags, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { openGate } from '../parts/gate.ts'
import { startCluster, startSentinels } from './servers.ts'

test.each([
  { name: 'a Cluster of six nodes', open: startCluster },
  { name: 'a primary behind three Sentinels', open: startSentinels },
])('a run on $name survives a failover and FLUSHALL, and verifies', async ({ open }) => {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder())
  const redis = stack.use(await open(folder.path))
  const tei = stack.use(await serveTei({ engine: createHashEngine({ dimensions: 8 }) }))
  const gate = stack.use(await openGate(tei.url))
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(400))
  const output = join(folder.path, 'vectors')
  const given = flags({ output, endpoint: gate.url, redis: redis.url })

  const checked = await reembed(['doctor', ...flags({ redis: redis.url })])
  expect(checked.stdout).toMatch(/ok {4}redis/)
  const enqueued = await reembed([
    'enqueue',
    ...flags({ source, 'documents-per-shard': '5' }),
    '--json',
    ...given,
  ])
  expect(enqueued.code, enqueued.stderr).toBe(0)
  const { run, shards } = JSON.parse(enqueued.stdout)

  // The first texts check the endpoint; then jobs of both workers wait at the gate.
  gate.closeAfter(100)
  const workers = [1, 2].map(() => start(['worker', '--concurrency', '2', ...given]))
  stack.defer(async () => {
    for (const { child } of workers) child.kill('SIGTERM')
    await Promise.all(workers.map(({ finished }) => finished))
  })
  await gate.closed
  await using queue = await openQueue(redis.url)
  const failoverMs = performance.now()
  const failures = await failuresWhile(redis.failover(), redis.url, queue)
  expect(failures).toEqual([])
  gate.open()
  await expect
    .poll(async () => (await queue.progress({ output, run })).shards, { timeout: 60_000 })
    .toBeGreaterThan(shards / 3)
  const resumedMs = performance.now()
  await redis.flush()
  await Promise.any(workers.map(({ line }) => line(/"state":"published"/)))
  const endMs = performance.now()
  const seconds = (from: number, to: number): string => `${((to - from) / 1000).toFixed(1)} s`
  process.stdout.write(
    `${redis.url}: failover to a third of the shards ${seconds(failoverMs, resumedMs)}, FLUSHALL to published ${seconds(resumedMs, endMs)}\n`,
  )

  const verified = await reembed(['verify', '--output', output])
  expect(verified.code, verified.stderr).toBe(0)
  const ended = workers.filter(({ child }) => child.exitCode !== null)
  const logs = await Promise.all(ended.map(({ finished }) => finished))
  const reasons = logs.map(({ code, stderr }) => `exit code ${code}:\n${lastLines(stderr)}`)
  expect(reasons, reasons.join('\n')).toEqual([])
})

/** Sends a command every 50 ms and starts a consumer every 200 ms; resolves to their errors. */
async function failuresWhile(change: Promise<void>, url: string, queue: Queue): Promise<string[]> {
  let isOver = false
  const over = (): void => {
    isOver = true
  }
  change.then(over, over)
  AbortSignal.timeout(60_000).addEventListener('abort', over)
  const startAndEnd = async (): Promise<void> => {
    const started = await consume(url, async () => {}, { concurrency: 1, outputs: ['/other'] })
    await started[Symbol.asyncDispose]()
  }
  const failures: string[] = []
  const calls: Promise<unknown>[] = []
  const collect = (call: Promise<unknown>): number =>
    calls.push(call.catch((error: unknown) => failures.push(String(error))))
  let turn = 0
  for await (const _ of setInterval(50)) {
    if (isOver) break
    collect(queue.counts())
    if (turn++ % 4 === 0) collect(startAndEnd())
  }
  await Promise.all([change, ...calls])
  return failures
}

const lastLines = (text: string): string => text.trimEnd().split('\n').slice(-30).join('\n')
