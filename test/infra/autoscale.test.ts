// The ScaledObject that the chart ships drives real workers: from zero to a fleet and back to zero, without killing work.

import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { openQueue, openStore, readManifest } from '@reembed/shared'
import { expect, test } from 'vitest'
import { documents, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { openGate } from '../parts/gate.ts'
import { createAutoscaler } from './parts/autoscaler.ts'
import { startFleet } from './parts/fleet.ts'
import { scaledObjectOf, simulate } from './parts/simulation.ts'

test('a backlog brings a fleet, a busy fleet shrinks without a stall, and nothing is left when nothing is to do', async () => {
  const report = await simulate({
    documents: 6_000,
    documentsPerShard: 60,
    replicas: 4,
    kills: 0,
    speed: 40,
    msPerToken: 0.3,
  })
  expect(report).toMatchObject({ rows: 6_000, most: 4, stalled: 0, verified: true })
  // The busy ones that had to go, and the last ones.
  expect(report.sigterms).toBeGreaterThanOrEqual(3 + 1)
  expect(new Set(report.codes)).toEqual(new Set([0]))
  expect(report.cooldownS).toBeLessThan(report.cooldownPeriodS + 60)
})

test('a job left by a killed worker, and a delayed job, each bring a worker from zero', async () => {
  await using place = await temporaryFolder()
  await using redis = await startRedis()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  await using gate = await openGate(tei.url)
  const out = join(place.path, 'out')
  await writeJsonl(join(place.path, 'corpus.jsonl'), documents(40))
  const given = ['--output', out, '--endpoint', gate.url, '--redis', redis.url]
  const made = await reembed(['enqueue', '--source', join(place.path, 'corpus.jsonl'), '--json', ...given])
  const { run } = JSON.parse(made.stdout)
  await using queue = await openQueue(redis.url)

  // Its request stands before a shut gate when the worker is killed: the job stays active, and nothing waits.
  gate.closeAfter(0)
  const lost = start(['worker', ...given])
  await gate.closed
  lost.child.kill('SIGKILL')
  await lost.finished
  gate.open()
  expect(await queue.counts()).toMatchObject({ waiting: 0, active: 1, delayed: 0 })

  await using fleet = await startFleet({
    redis: redis.url,
    worker: ['--output', out, '--endpoint', gate.url],
    scaledObject: await scaledObjectOf(4),
    speed: 60,
  })
  await fleet.until(step => step.replicas === 1, 20_000)
  await using store = await openStore(out)
  await expect
    .poll(() => readManifest(store, run), { timeout: 60_000 })
    .toMatchObject({ totals: { rows: 40 } })
  await fleet.until(step => step.replicas === 0, 60_000)

  // Another run whose job is delayed; its worker is gone before the time has come.
  await writeJsonl(join(place.path, 'more.jsonl'), documents(50))
  const more = await reembed(['enqueue', '--source', join(place.path, 'more.jsonl'), '--json', ...given])
  expect(more.code).toBe(0)
  await fleet.until(step => step.replicas === 1, 20_000)
  await expect
    .poll(() => readManifest(store, JSON.parse(more.stdout).run), { timeout: 60_000 })
    .toMatchObject({ totals: { rows: 50 } })
})

test('the fleet that is wanted: by policy upwards, after the window downwards, zero after the cooldown alone', async () => {
  const scaler = createAutoscaler(await scaledObjectOf(32))
  let replicas = 0
  const at = (s: number, value: number): number => {
    replicas = scaler.replicas(s, value, replicas)
    return replicas
  }
  expect(at(0, 0)).toBe(0)
  expect(at(15, 400)).toBe(1)
  // At most twice as many, or four more, in 30 s.
  const upwards = Array.from({ length: 12 }, (_, i) => at(30 + 15 * i, 400))
  expect(upwards[0]).toBeLessThanOrEqual(5)
  expect(upwards.at(-1)).toBe(32)
  // All busy with nothing waiting: 32 pods x 4 jobs justify 32 pods.
  for (let s = 210; s < 900; s += 15) expect(at(s, 128)).toBe(32)
  // Less to do: nothing happens within the window, then a quarter a minute.
  for (let s = 900; s < 1_185; s += 15) expect(at(s, 8)).toBe(32)
  const downwards = Array.from({ length: 40 }, (_, i) => at(1_200 + 15 * i, 8))
  expect(Math.min(...downwards)).toBe(2)
  // One delayed job keeps one worker; none, for the cooldown.
  expect(at(1_815, 1)).toBeGreaterThan(0)
  for (let s = 1_830; s < 2_100; s += 15) expect(at(s, 0)).toBeGreaterThan(0)
  expect(at(2_130, 0)).toBe(0)
})
