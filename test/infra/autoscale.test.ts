// The ScaledObject of the chart scales real workers from zero to a fleet and back to zero, without
// interrupting jobs.

import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { readManifest } from '@reembed/protocol'
import { consume, openQueue } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { type ExpectStatic, expect, test } from 'vitest'
import { documents, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { openGate } from '../parts/gate.ts'
import { createAutoscaler } from './parts/autoscaler.ts'
import { startFleet } from './parts/fleet.ts'
import { scaledObjectOf, simulate } from './parts/simulation.ts'

test('a backlog starts a fleet, a busy fleet shrinks without stalled jobs, and an idle fleet scales to zero', async () => {
  const report = await simulate({
    documents: 4_000,
    documentsPerShard: 40,
    replicas: 4,
    kills: 0,
    speed: 60,
    msPerToken: 0.3,
  })
  expect(report).toMatchObject({ rows: 4_000, most: 4, stalled: 0, verified: true })
  // The busy workers that were stopped, and the last ones.
  expect(report.sigterms).toBeGreaterThanOrEqual(3 + 1)
  expect(new Set(report.codes)).toEqual(new Set([0]))
  expect(report.cooldownS).toBeLessThan(report.cooldownPeriodS + 60)
})

/**
 * A run of one job whose endpoint waits at a gate, its queue, and a fleet of at most four workers
 * by the chart.
 */
async function oneJob(stack: AsyncDisposableStack) {
  const place = stack.use(await temporaryFolder())
  const redis = stack.use(await startRedis())
  const tei = stack.use(await serveTei({ engine: createHashEngine({ dimensions: 8 }) }))
  const gate = stack.use(await openGate(tei.url))
  const out = join(place.path, 'out')
  await writeJsonl(join(place.path, 'corpus.jsonl'), documents(40))
  const worker = ['--output', out, '--endpoint', gate.url]
  const given = [...worker, '--redis', redis.url]
  const made = await reembed(['enqueue', '--source', join(place.path, 'corpus.jsonl'), '--json', ...given])
  const { run } = JSON.parse(made.stdout)
  const store = stack.use(await openStore(out))
  const queue = stack.use(await openQueue(redis.url))
  return {
    redis,
    out,
    gate,
    queue,
    given,
    /**
     * Scales from zero to one, completes the run, and scales back to zero. A poll needs the
     * `expect` of its test, because two tests run at the same time.
     */
    async expectRescue(expect: ExpectStatic): Promise<void> {
      const scaledObject = await scaledObjectOf(4)
      await using fleet = await startFleet({ redis: redis.url, worker, scaledObject, speed: 60 })
      await fleet.until(step => step.replicas === 1, 20_000)
      await expect
        .poll(() => readManifest(store, run), { timeout: 60_000 })
        .toMatchObject({ totals: { rows: 40 } })
      await fleet.until(step => step.replicas === 0, 60_000)
    },
  }
}

// At the same time: both wait, for a lock and for a delay to end.
test.concurrent('an active job of a killed worker starts a worker from zero, which completes the job', async ({
  expect,
}) => {
  await using stack = new AsyncDisposableStack()
  const { gate, queue, given, expectRescue } = await oneJob(stack)
  // The worker is killed while its request waits at the gate: the job stays active, and no job
  // waits.
  gate.closeAfter(0)
  const lost = start(['worker', ...given])
  await gate.closed
  lost.child.kill('SIGKILL')
  await lost.finished
  gate.open()
  expect(await queue.counts()).toMatchObject({ waiting: 0, active: 1, delayed: 0 })
  await expectRescue(expect)
})

test.concurrent('a delayed job starts a worker from zero, because only workers promote delayed jobs', async ({
  expect,
}) => {
  await using stack = new AsyncDisposableStack()
  const { redis, out, queue, expectRescue } = await oneJob(stack)
  // As a worker does with a job whose endpoint is overloaded, before it shuts down.
  const delayed = Promise.withResolvers<void>()
  const overloaded = new ReembedError('ENDPOINT_OVERLOADED', 'busy', {
    retry: 'requeue',
    retryAfterMs: 5_000,
  })
  const postponing = await consume(redis.url, () => Promise.reject(overloaded), {
    concurrency: 1,
    outputs: [out],
    onEvent: ({ kind }) => kind === 'delayed' && delayed.resolve(),
  })
  await delayed.promise
  await postponing.drain(0)
  expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0, delayed: 1 })
  await expectRescue(expect)
})

test('the replica count grows by the policy, shrinks after the window, and is zero only after the cooldown', async () => {
  const scaler = createAutoscaler(await scaledObjectOf(32))
  let replicas = 0
  const at = (s: number, value: number): number => {
    replicas = scaler.replicas(s, value, replicas)
    return replicas
  }
  expect(at(0, 0)).toBe(0)
  expect(at(15, 400)).toBe(1)
  // At most double, or four more, in 30 s.
  const upwards = Array.from({ length: 12 }, (_, i) => at(30 + 15 * i, 400))
  expect(upwards[0]).toBeLessThanOrEqual(5)
  expect(upwards.at(-1)).toBe(32)
  // All workers are busy and no job waits: 32 pods x 4 jobs need 32 pods.
  for (let s = 210; s < 900; s += 15) expect(at(s, 128)).toBe(32)
  // Fewer jobs: no change within the window, then 25 % per minute.
  for (let s = 900; s < 1_185; s += 15) expect(at(s, 8)).toBe(32)
  const downwards = Array.from({ length: 40 }, (_, i) => at(1_200 + 15 * i, 8))
  expect(Math.min(...downwards)).toBe(2)
  // One delayed job keeps one worker; no job, until the cooldown ends.
  expect(at(1_815, 1)).toBeGreaterThan(0)
  for (let s = 1_830; s < 2_100; s += 15) expect(at(s, 0)).toBeGreaterThan(0)
  expect(at(2_130, 0)).toBe(0)
})
