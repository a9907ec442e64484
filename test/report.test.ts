// Two runs compared for a decision, over real shards: the queries that got worse, what thresholds
// become, and the reports of both runs as one file.

import { join } from 'node:path'
import { reportComparison, reportRun, serveConsole } from '@reembed/console'
import { modelOf, openEndpoint } from '@reembed/endpoint'
import { compareVersions } from '@reembed/evaluate'
import { findBaseRun, openCorpus, planRun, recordPlan } from '@reembed/planner'
import { finalize, publish } from '@reembed/producer'
import { type Manifest, putQueries, type QueryVector } from '@reembed/protocol'
import { openStore, type Store } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { embedAll } from './parts/make-run.ts'

const COUNT = 120
const QUERIES = 12
const SPOILED = [2, 5, 9]
let tei: FakeTei
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let store: Store
let before: Manifest
let after: Manifest

beforeAll(async () => {
  folder = await temporaryFolder()
  await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(COUNT))
  tei = await startFakeTei({ dimensions: 16, sha: 'one' })
  store = await openStore(join(folder.path, 'vectors'), { create: true })
  before = await made([])
  await tei.stop()
  await tei.start({ sha: 'two' })
  // A model made worse on purpose: it ranks the answers of three queries last.
  after = await made(SPOILED)
})
afterAll(async () => {
  for (const part of [store, tei, folder]) await part[Symbol.asyncDispose]()
})

/** Query i asks for document i by its text; the vector of a spoiled one is the opposite. */
async function made(spoiled: readonly number[]): Promise<Manifest> {
  const all = documents(COUNT)
  await using corpus = await openCorpus(join(folder.path, 'corpus.jsonl'))
  await using endpoint = await openEndpoint(tei.url)
  const planned = await planRun(corpus, {
    model: modelOf(endpoint),
    findBaseRun: ids => findBaseRun(store, ids),
  })
  const rows: QueryVector[] = []
  for (const [i, { id, text }] of all.slice(0, QUERIES).entries()) {
    const sign = spoiled.includes(i) ? -1 : 1
    const vector = [...(await endpoint.embed([text]))].map(value => sign * value)
    rows.push({ id: `q${i}`, text: `<b>query ${i}</b>`, relevant: { [id]: 1 }, vector })
  }
  await putQueries(store, planned.head.run, rows)
  const head = {
    ...planned.head,
    gates: ['recall@10 drop 0.02'],
    evaluation: { sha256: 'queries', queries: QUERIES },
  }
  const { plan } = await recordPlan(store, { ...planned, head })
  await embedAll(store, plan, tei.url)
  const manifest = await finalize(store, plan)
  await publish(store, manifest, plan)
  return manifest
}

test('the queries that got worse come first, with the documents that each run answers them by', async () => {
  const { judged, gates, thresholdsBy, overlapCounts } = await compareVersions(store, before, after)
  const worst = judged?.changes.slice(0, SPOILED.length) ?? []
  expect(worst.map(({ query }) => query).sort()).toEqual(SPOILED.map(i => `q${i}`))
  for (const { query, before: old, after: fresh } of worst) {
    expect(old.answers[0]).toMatchObject({ id: documents(COUNT)[Number(query.slice(1))]?.id, relevant: true })
    expect(old.answers).toHaveLength(10)
    expect([old.ndcg, fresh.recall]).toEqual([1, 0])
  }
  expect(judged?.changes.slice(SPOILED.length).every(change => change.after.ndcg === 1)).toBe(true)
  expect(judged?.recall.drop.drop).toBeCloseTo(SPOILED.length / QUERIES)
  expect(gates?.results[0]).toMatchObject({ passed: false })
  expect(thresholdsBy).toBe('queries')
  expect(overlapCounts.reduce((sum, number) => sum + number, 0)).toBe(COUNT)
})

test('thresholds let through the same share in both runs, and are measured on documents without queries', async () => {
  const { thresholds } = await compareVersions(store, before, after)
  expect(thresholds.length).toBeGreaterThan(1)
  for (const fitted of thresholds) {
    expect(fitted.sameShare.share).toBeCloseTo(fitted.before.share, 2)
    expect(fitted.before.precision).not.toBeNull()
  }
  const [first] = thresholds
  const passing = await compareVersions(store, after, before)
  expect(passing.thresholds[0]?.before.cutoff).not.toBe(first?.sameShare.cutoff)
})

test('a report names why the run was held and its worst queries, in one file without script or request', async () => {
  const { html, markdown } = await reportComparison(store, before.run, after.run)
  for (const text of [html, markdown]) {
    expect(text).toContain('recall@10 1.000 → 0.750')
    for (const i of SPOILED) expect(text).toMatch(new RegExp(`query ${i}\\b`))
    expect(text).toContain('Score thresholds')
    expect(text).not.toContain(documents(1)[0]?.text)
  }
  expect(html).toContain("default-src 'none'")
  expect(html).not.toMatch(/<script|<link|<a |src=|https?:\/\/(?!www\.w3\.org)/)
  expect(html).toContain('&lt;b&gt;query 2&lt;/b&gt;')
  expect(markdown).toContain('\\<b\\>query 2\\</b\\>')
  expect(Buffer.byteLength(html)).toBeLessThan(60_000)
  expect(Buffer.byteLength(markdown)).toBeLessThan(5_000)
})

test('texts of documents are in a report if they are asked for', async () => {
  const { html } = await reportComparison(store, before.run, after.run, { texts: true })
  expect(html).toContain(documents(COUNT)[SPOILED[0] ?? 0]?.text)
})

test('the report of a run has its state, its shards and its gates', async () => {
  const { html, markdown } = await reportRun(store, after.run)
  for (const text of [html, markdown]) {
    expect(text).toContain('held')
    expect(text).toContain('recall@10 1.000 → 0.750')
  }
  expect(html).toContain('class="shards"')
  expect(html).not.toMatch(/<script|<link|<a |<form/)
  expect(Buffer.byteLength(html)).toBeLessThan(30_000)
})

test('the page compares two runs when a reader asks, once for all readers', async () => {
  await using pages = await serveConsole({ stores: [store], listen: '0', pollMs: 20 })
  const url = `${pages.url}/compare?a=${before.run}&b=${after.run}`
  expect(await (await fetch(url)).text()).toContain('Comparing both runs')
  await expect.poll(async () => (await fetch(url)).text()).toContain('Queries that got worse')
  const missing = `${pages.url}/compare?a=${before.run}&b=${'z'.repeat(26)}`
  await expect
    .poll(async () => (await fetch(missing)).text())
    .toContain('is not finished, or not in this output')
})

test('searches beyond the bound of the page are refused with 429 and a sentence', async () => {
  const unanswered = Promise.withResolvers<never>()
  const endpoints = [() => unanswered.promise]
  await using pages = await serveConsole({ stores: [store], listen: '0', pollMs: 20, endpoints })
  const url = `${pages.url}/compare?a=${before.run}&b=${after.run}`
  await expect.poll(async () => (await fetch(url)).text()).toContain('Search in both')
  const statuses: number[] = []
  for (let i = 0; i < 7; i += 1) statuses.push((await fetch(`${url}&q=query${i}`)).status)
  // Each page searches in two runs; one search is in progress and ten wait.
  expect(statuses).toEqual([200, 200, 200, 200, 200, 429, 429])
  expect(await (await fetch(`${url}&q=query9`)).text()).toContain('try again in a minute')
  unanswered.reject(new Error('the test ends'))
})
