// Each kind of gate holds a run back that fails it, with both figures, and lets other runs pass.

import { join } from 'node:path'
import { modelOf, openEndpoint } from '@reembed/endpoint'
import { findBaseRun, openCorpus, planRun, recordPlan } from '@reembed/planner'
import { createSweeper, finalize, forcePublish, publish, resumeRun, stopRun } from '@reembed/producer'
import { putQueries, readCurrent, readRunState } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import { gatesPrefix } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { embedAll } from './parts/make-run.ts'

const COUNT = 200
let tei: FakeTei
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let store: Store
let first: string

beforeAll(async () => {
  folder = await temporaryFolder()
  tei = await startFakeTei({ dimensions: 16, sha: 'one' })
  store = await openStore(join(folder.path, 'vectors'), { create: true })
  const { outcome } = await next(COUNT, [])
  expect(outcome).toMatchObject({ version: { version: 1 } })
  first = outcome.run
})
afterAll(async () => {
  for (const part of [store, tei, folder]) await part[Symbol.asyncDispose]()
})

/**
 * A finished run over the first `count` documents with these gates, and with queries that are
 * answered by `answers`.
 */
async function made(count: number, gates: readonly string[], answers: readonly string[] = []) {
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(count))
  await using corpus = await openCorpus(source)
  await using endpoint = await openEndpoint(tei.url)
  const model = modelOf(endpoint)
  const planned = await planRun(corpus, { model, findBaseRun: ids => findBaseRun(store, ids) })
  if (answers.length > 0) {
    const { id, text } = { id: 'q', text: documents(1)[0]?.text ?? '' }
    const relevant = Object.fromEntries(answers.map(answer => [answer, 1]))
    await putQueries(store, planned.head.run, [{ id, relevant, vector: [...(await endpoint.embed([text]))] }])
  }
  const { plan } = await recordPlan(store, { ...planned, head: { ...planned.head, gates } })
  await embedAll(store, plan, tei.url)
  return { plan, manifest: await finalize(store, plan) }
}

/** The same, and what became of publishing it. */
async function next(...request: Parameters<typeof made>) {
  const { plan, manifest } = await made(...request)
  return { outcome: { run: plan.run, ...(await publish(store, manifest, plan)) } }
}

async function serve(sha: string): Promise<void> {
  await tei.stop()
  await tei.start({ sha })
}

test('P-GATE: `rows drop` holds a run back if more documents are missing than it allows', async () => {
  const held = await next(150, ['rows drop 30%', 'rows drop 10%'])
  expect(held.outcome).toMatchObject({
    status: 'held',
    by: 'gates',
    reason: `gate 'rows drop 10%': 150 rows, run ${first} has ${COUNT}, a drop of at most 10.00 % is allowed`,
  })
  expect(await readCurrent(store)).toMatchObject({ version: 1, run: first })
})

test('P-GATE: `overlap` holds a run back if its model keeps fewer neighbours than required', async () => {
  await serve('two')
  const { outcome } = await next(COUNT, ['overlap@10 min 0', 'overlap@10 min 0.6'])
  expect(outcome).toMatchObject({ status: 'held', by: 'gates' })
  expect('reason' in outcome && outcome.reason).toMatch(
    new RegExp(
      `^gate 'overlap@10 min 0\\.6': overlap@10 with run ${first} is 0\\.[0-5]\\d\\d over ${COUNT} documents, at least 0\\.600 is required$`,
    ),
  )
  expect(await readCurrent(store)).toMatchObject({ version: 1, run: first })
})

test('P-GATE: qrels of another corpus hold a run back in one sentence; a few unknown documents are counted only', async () => {
  await serve('three')
  const foreign = await next(COUNT, ['recall@10 min 0.1'], ['x1', 'x2'])
  expect(foreign.outcome).toMatchObject({
    status: 'held',
    reason: `gate 'recall@10 min 0.1': none of the 2 documents in the qrels is in run ${foreign.outcome.run}: use qrels for this corpus`,
  })
  await serve('four')
  const some = await next(COUNT, ['recall@10 min 0.9'], ['d0', 'x1'])
  expect(some.outcome).toMatchObject({
    status: 'held',
    reason: `gate 'recall@10 min 0.9': recall@10 is 0.500 over 1 queries, at least 0.900 is required; 1 of the 2 documents in the qrels are not in the run`,
  })
})

test('P-GATE: evaluating gates stops on abort at any read, stores nothing and publishes nothing', async () => {
  await serve('four')
  const { plan, manifest } = await made(
    COUNT,
    ['recall@10 min 0', 'overlap@10 min 0'],
    [documents(1)[0]?.id ?? ''],
  )
  const before = await readCurrent(store)
  /**
   * Publishes while the signal fires with the `last` read of a shard, of which no store takes
   * notice.
   */
  const stopped = async (last: number): Promise<{ reads: number; outcome: unknown }> => {
    const controller = new AbortController()
    const stop = new Error('interrupted')
    let reads = 0
    const watched: Store = {
      ...store,
      get(key, { signal: _, ...options } = {}) {
        if (key.includes('/data/') && ++reads === last) controller.abort(stop)
        return store.get(key, options)
      },
    }
    const outcome = await publish(watched, manifest, { ...plan, signal: controller.signal }).catch(
      (error: unknown) => (error === stop ? 'stopped' : error),
    )
    return { reads, outcome }
  }
  const outcomes: unknown[] = []
  for (let last = 1; outcomes.at(-1) === 'stopped' || last === 1; last += 1) {
    expect((await Array.fromAsync(store.list(gatesPrefix(plan.run)))).length).toBe(0)
    expect(await readCurrent(store)).toEqual(before)
    const { reads, outcome } = await stopped(last)
    outcomes.push(outcome)
    // Reads that were in progress at the same time as the last one.
    if (outcome === 'stopped') expect(reads - last).toBeLessThan(16)
  }
  expect(outcomes.length).toBeGreaterThan(10)
  expect(outcomes.at(-1)).toMatchObject({ status: 'published' })
})

/** A finished run of a new model, and the output; `act` is called when its shards are read. */
async function whileJudged(sha: string, act: (run: string) => Promise<void>) {
  await serve(sha)
  const { plan, manifest } = await made(COUNT, ['overlap@10 min 0'])
  let acted: Promise<void> | undefined
  const watched: Store = {
    ...store,
    async get(key, options) {
      if (key.startsWith(`runs/${plan.run}/data/`)) {
        acted ??= act(plan.run)
        await acted
      }
      return store.get(key, options)
    },
  }
  return { plan, manifest, watched }
}

test('P-GATE: a run that is cancelled while its gates are evaluated is not published until it is resumed', async () => {
  const before = await readCurrent(store)
  const { plan, manifest, watched } = await whileJudged('five', run =>
    stopRun(store, run, 'cancelled', { by: 'ada', reason: 'wrong corpus' }),
  )
  await expect(publish(watched, manifest, plan)).rejects.toMatchObject({
    code: 'RUN_STOPPED',
    message: `run ${plan.run} in ${store.url} was cancelled by ada (wrong corpus), so it is not published: resume it to have it published`,
  })
  expect(await readCurrent(store)).toEqual(before)
  await resumeRun(store, plan.run)
  expect(await publish(store, manifest, plan)).toMatchObject({ status: 'published' })
})

test('P-GATE: a sweep reports a run that is cancelled while its gates are evaluated as cancelled; only force publishes it', async () => {
  const before = await readCurrent(store)
  const { plan, manifest, watched } = await whileJudged('six', run => stopRun(store, run, 'cancelled'))
  const swept = await createSweeper(watched, {} as Queue).sweep()
  expect(swept).toEqual([{ run: plan.run, status: 'cancelled' }])
  expect(await readCurrent(store)).toEqual(before)
  expect(await forcePublish(store, manifest, plan)).toMatchObject({
    status: 'published',
    version: { action: 'force', overriddenReasons: ['the run was cancelled'] },
  })
})

test('a cancellation that is recorded while the version is put is refused, and the run stays published', async () => {
  await serve('seven')
  const { plan, manifest } = await made(COUNT, [])
  const late: Store = {
    ...store,
    // The publisher puts its version between the first read of the canceller and its record.
    async putIfAbsent(key, ...rest) {
      if (key.startsWith(`runs/${plan.run}/state/`)) await publish(store, manifest, plan)
      return store.putIfAbsent(key, ...rest)
    },
  }
  await expect(stopRun(late, plan.run, 'cancelled', { by: 'ada' })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(/was published as version \d+ meanwhile: there is nothing to stop/),
  })
  expect(await readRunState(store, plan.run)).toBe('running')
  expect(await readCurrent(store)).toMatchObject({ run: plan.run })
})

test('a run that is cancelled while its version is put is running again: record and version agree', async () => {
  await serve('eight')
  const { plan, manifest } = await made(COUNT, [])
  const late: Store = {
    ...store,
    // The canceller records, and reads the versions, between the publisher's last read and its put.
    async putIfAbsent(key, ...rest) {
      if (key.startsWith('versions/')) await stopRun(store, plan.run, 'cancelled', { by: 'ada' })
      return store.putIfAbsent(key, ...rest)
    },
  }
  expect(await publish(late, manifest, plan)).toMatchObject({ status: 'published' })
  expect(await readRunState(store, plan.run)).toBe('running')
  expect(await readCurrent(store)).toMatchObject({ run: plan.run })
})
