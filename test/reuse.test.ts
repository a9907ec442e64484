// The next version of a corpus: unchanged texts keep their vectors, and only the others are
// embedded.

import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureReference, modelOf, openEndpoint } from '@reembed/endpoint'
import { verify } from '@reembed/evaluate'
import { createHashEngine, serveTei, type TeiServer } from '@reembed/local'
import { findBaseRun, forecastReuse, openCorpus, planRun, recordPlan, requireBaseRun } from '@reembed/planner'
import { findGarbage, rollback } from '@reembed/producer'
import {
  type Plan,
  readSliceSegment,
  recipeIdOf,
  type Slice,
  setRunState,
  spaceIdOf,
} from '@reembed/protocol'
import type { Job } from '@reembed/queue'
import {
  contentHashOf,
  createBaseShardCache,
  openBaseRuns,
  readEmbeddings,
  readReceipt,
} from '@reembed/shard'
import { openStore, type Store } from '@reembed/store'
import { createRunCache } from '@reembed/worker'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { temporaryFolder, writeJsonl } from './parts/cli.ts'
import { type Gate, openGate } from './parts/gate.ts'
import { carryOut, embedAll, type MadeRun, makeRun, vectorsOf } from './parts/make-run.ts'

interface Line {
  readonly id: string
  readonly text: string
  readonly lang?: string
}

const COUNT = 600
const PER_SHARD = { documentsPerShard: 100 }

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let tei: TeiServer
let gate: Gate
let place: { source: string; output: string; url: string }

beforeEach(async () => {
  folder = await temporaryFolder()
  tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  gate = await openGate(tei.url)
  place = { source: join(folder.path, 'corpus'), output: join(folder.path, 'vectors'), url: gate.url }
  await mkdir(place.source)
})
afterEach(async () => {
  for (const part of [gate, tei, folder]) await part[Symbol.asyncDispose]()
})

const lines = (count = COUNT, from = 0): Line[] =>
  Array.from({ length: count }, (_, i) => ({ id: `d${from + i}`, text: `document ${from + i} of many` }))

const write = (name: string, written: readonly Line[]): Promise<string> =>
  writeJsonl(join(place.source, name), written)

/**
 * The documents that the endpoint embedded while `act` ran, without the texts that only prove its
 * model.
 */
async function embeddedBy<T>(act: () => Promise<T>): Promise<{ made: T; embedded: string[] }> {
  const before = gate.sent.length
  const made = await act()
  return { made, embedded: gate.sent.slice(before).filter(text => text.startsWith('document ')) }
}

const next = (request = {}) => embeddedBy(() => makeRun(place, { ...PER_SHARD, ...request }))

/** Every id has the vector of its current text, embedded or reused. */
async function expectRight({ plan }: MadeRun, corpus: readonly Line[]): Promise<void> {
  await using fresh = await temporaryFolder()
  const anew = await makeRun({ ...place, output: fresh.path }, { ...PER_SHARD, findBaseRun: false })
  const [found, right] = [await vectorsOf(place.output, plan.run), await vectorsOf(fresh.path, anew.plan.run)]
  expect(found.size).toBe(corpus.length)
  expect(found).toEqual(right)
}

async function shardsOf(run: string): Promise<{ path: string; rows: number; maker: string }[]> {
  const data = join('runs', run, 'data')
  await using store = await openStore(place.output)
  const shards = []
  for (const name of (await readdir(join(place.output, data))).sort()) {
    const { receipt } = await readReceipt(store, `${data}/${name}`)
    shards.push({ path: join(place.output, data, name), rows: receipt.rows, maker: receipt.run })
  }
  return shards
}

test('P-REUSE: of an edited corpus only edited texts are embedded; all other vectors are bit-identical', async () => {
  const corpus = lines()
  await write('a.jsonl', corpus)
  const first = await next()
  expect(first.embedded).toHaveLength(COUNT)
  const edited = corpus.map((line, i) =>
    i % 100 === 7 ? { ...line, text: `document ${i}, rewritten with other and more words` } : line,
  )
  await write('a.jsonl', edited)
  const second = await next()
  expect(second.embedded).toHaveLength(COUNT / 100)
  expect(second.made.manifest.totals).toMatchObject({ rows: COUNT, rejects: 0, reused: COUNT - 6 })
  expect(second.made.manifest.baseRun).toEqual({ run: first.made.plan.run, removedRows: 0 })
  const [before, after] = [
    await vectorsOf(place.output, first.made.plan.run),
    await vectorsOf(place.output, second.made.plan.run),
  ]
  const same = [...after].filter(([id, vector]) => before.get(id) === vector)
  expect(same).toHaveLength(COUNT - 6)
  await expectRight(second.made, edited)
  await using store = await openStore(place.output)
  expect((await verify(store, second.made.plan.run)).totals).toEqual(second.made.manifest.totals)
})

test('P-REUSE: inserted, deleted and moved lines leave the vectors of the other lines reusable', async () => {
  const corpus = lines()
  await write('a.jsonl', corpus)
  const first = await next()
  const changed = [
    ...lines(30, 1_000),
    ...corpus.slice(0, 200).reverse(),
    ...corpus.slice(240),
    ...lines(5, 2_000),
  ]
  await write('a.jsonl', changed)
  const { made, embedded } = await next()
  // Inserted lines, and moved lines only if they moved further than the neighbouring slices.
  expect(embedded.length).toBeLessThan(35 + 150)
  expect(made.manifest.baseRun).toEqual({ run: first.made.plan.run, removedRows: 40 })
  expect(made.manifest.totals).toMatchObject({ rows: 595, reused: 595 - embedded.length })
  await expectRight(made, changed)
})

const inserted = lines(300, 1_000)
const added = lines(100, 2_000)
test.each<[string, (corpus: readonly Line[]) => Line[]]>([
  ['appended', corpus => [...corpus, ...inserted, ...added]],
  ['inserted at the start', corpus => [...inserted, ...added, ...corpus]],
  [
    'inserted in the middle',
    corpus => [...corpus.slice(0, 300), ...inserted, ...added, ...corpus.slice(300)],
  ],
  [
    'inserted near the start and appended',
    corpus => [...corpus.slice(0, 50), ...inserted, ...corpus.slice(50), ...added],
  ],
  ['removed at the start', corpus => corpus.slice(250)],
  ['removed at the end', corpus => corpus.slice(0, 350)],
])('P-REUSE: many lines %s cost themselves, however far they move the others', async (_, edit) => {
  const corpus = lines()
  const small = { documentsPerShard: 25 }
  await write('a.jsonl', corpus)
  await next(small)
  const changed = edit(corpus)
  await write('a.jsonl', changed)
  const { made, embedded } = await next(small)
  expect(embedded).toHaveLength(Math.max(0, changed.length - COUNT))
  await expectRight(made, changed)
})

/** A store of which the reads of shards are recorded. */
function recorded(store: Store) {
  const read: string[] = []
  let [now, most] = [0, 0]
  const get: Store['get'] = async (key, options) => {
    if (!key.includes('/data/')) return store.get(key, options)
    read.push(key)
    most = Math.max(most, ++now)
    return store.get(key, options).finally(() => {
      now -= 1
    })
  }
  return { read, atOnce: () => most, store: { ...store, get } as Store }
}

/** Two plans that reuse one base run of 24 shards, whose middle slices need its far shards. */
async function plansOfMovedLines(store: Store, { made }: Awaited<ReturnType<typeof next>>) {
  await write('a.jsonl', [...lines(50), ...inserted, ...lines(550, 50), ...added])
  await using corpus = await openCorpus(place.source)
  const request = { model: made.plan.recipe.model, findBaseRun: findBaseRun.bind(undefined, store) }
  const plans = []
  for (const documentsPerShard of [20, 30]) {
    const { plan } = await recordPlan(store, await planRun(corpus, { ...request, documentsPerShard }))
    const slices = await readSliceSegment(store, plan, 0)
    plans.push({ plan, middle: slices[Math.floor(slices.length / 2)] as Slice })
  }
  return plans
}

const missing = [contentHashOf('document that no run has')]

test('P-REUSE: the runs of a worker share the hashes of base shards', async () => {
  await write('a.jsonl', lines())
  const first = await next({ documentsPerShard: 25 })
  await using files = await openStore(place.output)
  const plans = await plansOfMovedLines(files, first)
  const { read, store } = recorded(files)
  await using runs = createRunCache({
    outputs: [store.url],
    sources: [place.source],
    openUrl: async url => (url === store.url ? store : openStore(url)),
  })
  for (const { plan, middle } of plans) {
    const run = await runs.open({ output: store.url, run: plan.run } as Job)
    await (await run.baseRuns())?.reuseIndex(middle).has(missing)
  }
  const opened = new Set(read)
  expect(opened.size).toBeGreaterThan(8)
  // A tail and a column of hashes.
  expect(read).toHaveLength(2 * opened.size)
})

test('P-REUSE: base shards are opened beside each other, and far ones while their hashes fit the cache', async () => {
  await write('a.jsonl', lines())
  const first = await next({ documentsPerShard: 25 })
  await using files = await openStore(place.output)
  const [{ plan, middle } = {}] = await plansOfMovedLines(files, first)
  const searched = async (maxBytes?: number) => {
    const { read, atOnce, store } = recorded(files)
    const bases = await openBaseRuns(store, plan as Plan, { cache: createBaseShardCache(maxBytes) })
    await bases?.reuseIndex(middle as Slice).has(missing)
    return { shards: new Set(read), atOnce: atOnce() }
  }
  const [all, few] = [await searched(), await searched(1)]
  expect(all.atOnce).toBeGreaterThan(1)
  expect(all.atOnce).toBeLessThanOrEqual(8)
  // The near ones are always read, the far ones not at all.
  expect(few.shards.size).toBeGreaterThan(0)
  expect(all.shards.size).toBeGreaterThan(few.shards.size + 5)
})

test('P-REUSE: unchanged objects are not read and need no endpoint', async () => {
  for (const name of ['a', 'b', 'c']) await write(`${name}.jsonl`, lines(200, name.charCodeAt(0) * 1_000))
  const first = await next()
  await rm(join(place.source, 'b.jsonl'))
  await using store = await openStore(place.output)
  await using corpus = await openCorpus(place.source)
  const planned = await planRun(corpus, {
    ...PER_SHARD,
    model: first.made.plan.recipe.model,
    findBaseRun: ids => findBaseRun(store, ids),
  })
  await rm(place.source, { recursive: true })
  await mkdir(place.source)
  const { plan, manifest } = await carryOut(store, planned, 'http://127.0.0.1:9')
  expect(manifest.totals).toMatchObject({ rows: 400, reused: 400, tokens: 0 })
  expect(manifest.baseRun).toEqual({ run: first.made.plan.run, removedRows: 200 })
  const before = await vectorsOf(place.output, first.made.plan.run)
  for (const [id, vector] of await vectorsOf(place.output, plan.run)) expect(vector).toBe(before.get(id))
})

test('P-REUSE: a new layout embeds no text, and the new columns exist', async () => {
  await write(
    'a.jsonl',
    lines().map((line, i) => ({ ...line, lang: i % 2 ? 'de' : 'en' })),
  )
  await next()
  const { made, embedded } = await next({ carry: ['lang'] })
  expect(embedded).toEqual([])
  expect(made.manifest.totals).toMatchObject({ rows: COUNT, reused: COUNT })
  const languages = new Set<unknown>()
  for await (const { extra } of readEmbeddings(place.output, { run: made.plan.run, extra: true }))
    for (const lang of extra.get('lang') ?? []) languages.add(lang)
  expect(languages).toEqual(new Set(['de', 'en']))
})

test('P-REUSE: float16 and truncated vectors are reused as they were stored', async () => {
  await write('a.jsonl', lines(200))
  const wanted = { dtype: 'float16', dimensions: 4 } as const
  const first = await next(wanted)
  await write('a.jsonl', [...lines(1, 900), ...lines(200)])
  const { made, embedded } = await next(wanted)
  expect(embedded).toEqual(['document 900 of many'])
  const before = await vectorsOf(place.output, first.made.plan.run)
  const after = await vectorsOf(place.output, made.plan.run)
  for (const [id, vector] of before) expect(after.get(id)).toBe(vector)
})

test('P-REUSE: equal texts in a window of a run are embedded once', async () => {
  await write(
    'a.jsonl',
    lines(300).map((line, i) => ({ ...line, text: `document ${i % 10}` })),
  )
  const { made, embedded } = await next({ documentsPerShard: 300 })
  expect(embedded).toHaveLength(10)
  expect(made.manifest.totals).toMatchObject({ rows: 300, reused: 290 })
})

describe('not reused', () => {
  /** The shard files of a run, and the number of rows in each. */
  test('P-REUSE: vectors of another recipe or another model', async () => {
    await write('a.jsonl', lines(100))
    await next()
    expect((await next({ prompt: 'passage: ' })).made.manifest.totals.reused).toBe(0)
    await using other = await serveTei({ engine: createHashEngine({ dimensions: 8, sha: 'b' }) })
    const { manifest } = await makeRun({ ...place, url: other.url }, PER_SHARD)
    expect(manifest.baseRun).toBeUndefined()
    expect(manifest.totals.reused).toBe(0)
  })

  test('P-REUSE: a named base run of another space is refused with exit code 6', async () => {
    await write('a.jsonl', lines(100))
    const { made } = await next()
    await using endpoint = await openEndpoint(gate.url)
    const recipe = { ...made.plan.recipe, model: { ...modelOf(endpoint), revision: 'another' } }
    const ids = { recipe, spaceId: spaceIdOf(recipe.model), recipeId: recipeIdOf(recipe) }
    await using store = await openStore(place.output)
    await expect(requireBaseRun(store, made.plan.run, ids)).rejects.toMatchObject({
      exitCode: 6,
      message: expect.stringMatching(/cannot be reused: .*revision was null, is "another"/),
    })
  })

  test('P-REUSE: a plan with a base run of another recipe makes no shard', async () => {
    await write('a.jsonl', lines(100))
    const first = await next()
    await using store = await openStore(place.output)
    await using corpus = await openCorpus(place.source)
    const planned = await planRun(corpus, { ...PER_SHARD, model: first.made.plan.recipe.model, prompt: 'p' })
    const forged = { ...planned, head: { ...planned.head, baseRun: first.made.plan.run } }
    await expect(carryOut(store, forged, gate.url)).rejects.toMatchObject({ exitCode: 6 })
  })

  test('P-REUSE: damaged or deleted shards; their documents are embedded again', async () => {
    const corpus = lines(300)
    await write('a.jsonl', corpus)
    const first = await next()
    const [one, two] = await shardsOf(first.made.plan.run)
    await truncate(one?.path ?? '', 400)
    await rm(two?.path ?? '')
    await write('b.jsonl', lines(1, 900))
    const { made, embedded } = await next()
    expect(embedded).toHaveLength((one?.rows ?? 0) + (two?.rows ?? 0) + 1)
    await expectRight(made, [...corpus, ...lines(1, 900)])
  })

  test('P-REUSE: rows of a shard that does not match its receipt', async () => {
    const corpus = lines(300)
    await write('a.jsonl', corpus)
    const first = await next()
    const [one = { path: '', rows: 0 }] = await shardsOf(first.made.plan.run)
    const bytes = await readFile(one.path)
    // A byte of a vector: still readable, but another number.
    bytes.writeUInt8(bytes.readUInt8(1_500) ^ 1, 1_500)
    await rm(one.path)
    await writeFile(one.path, bytes)
    await write('a.jsonl', [...corpus, ...lines(1, 900)])
    const { made, embedded } = await next()
    expect(embedded).toHaveLength(one.rows + 1)
    await expectRight(made, [...corpus, ...lines(1, 900)])
  })

  test('P-REUSE: any vectors when reuse is off', async () => {
    await write('a.jsonl', lines(100))
    const first = await next()
    const { made, embedded } = await next({ findBaseRun: false })
    expect(made.plan.run).not.toBe(first.made.plan.run)
    expect(embedded).toHaveLength(100)
    expect((await next({ findBaseRun: false })).embedded).toEqual([])
  })
})

describe('a run that is not finished is a base run', () => {
  /** Plans the corpus as it is now, and makes the first shards only. */
  async function begin(count: number): Promise<{ run: string; rows: number }> {
    await using store = await openStore(place.output, { create: true })
    await using corpus = await openCorpus(place.source)
    await using endpoint = await openEndpoint(gate.url)
    await ensureReference(store, endpoint)
    const request = { ...PER_SHARD, model: modelOf(endpoint) }
    const planned = await planRun(corpus, { ...request, findBaseRun: ids => findBaseRun(store, ids) })
    const { plan } = await recordPlan(store, planned)
    await embedAll(store, plan, gate.url, count)
    return { run: plan.run, rows: (await shardsOf(plan.run)).reduce((sum, { rows }) => sum + rows, 0) }
  }

  const edit = (corpus: readonly Line[], at: number): Line[] =>
    corpus.map((line, i) => (i === at ? { ...line, text: `document ${i}, edited in a hurry` } : line))

  test('P-REUSE: a document edited during a run costs one document, not the finished shards', async () => {
    const corpus = lines()
    await write('a.jsonl', corpus)
    const begun = await begin(4)
    expect(begun.rows).toBeGreaterThan(300)
    const edited = edit(corpus, 50)
    await write('a.jsonl', edited)
    const { made, embedded } = await next()
    expect(embedded).toHaveLength(COUNT - begun.rows + 1)
    expect(made.plan.unfinishedBaseRuns).toEqual([begun.run])
    expect(made.manifest).toMatchObject({
      unfinishedBaseRuns: [begun.run],
      totals: { reused: begun.rows - 1 },
    })
    expect(made.manifest.baseRun).toBeUndefined()
    await expectRight(made, edited)
  })

  test('P-REUSE: a corpus that is edited more often than a run takes is finished, and each text is paid once', async () => {
    await write('a.jsonl', lines(300))
    const first = await next()
    let corpus = [...lines(300), ...lines(300, 1_000)]
    const { embedded } = await embeddedBy(async () => {
      for (const shards of [4, 5, 6]) {
        corpus = edit(corpus, 7 * shards)
        await write('a.jsonl', corpus)
        await begin(shards)
      }
    })
    corpus = edit(corpus, 400)
    await write('a.jsonl', corpus)
    const last = await next()
    expect(last.made.plan.unfinishedBaseRuns).toHaveLength(3)
    expect(last.made.plan.baseRun).toBe(first.made.plan.run)
    expect(embedded.length + last.embedded.length).toBe(300 + 4)
    await expectRight(last.made, corpus)
  })

  test('P-REUSE: a slice that did not change is copied without reading the corpus', async () => {
    for (const name of ['a', 'b']) await write(`${name}.jsonl`, lines(300, name.charCodeAt(0) * 1_000))
    const begun = await begin(3)
    const b = lines(300, 'b'.charCodeAt(0) * 1_000)
    await write('b.jsonl', edit(b, 250))
    const { made, embedded } = await next()
    expect(begun.rows).toBe(300)
    expect(embedded).toHaveLength(300)
    expect((await shardsOf(made.plan.run)).slice(0, 3).map(({ maker }) => maker)).toEqual([
      begun.run,
      begun.run,
      begun.run,
    ])
  })

  test('P-GC: gc keeps a cancelled run whose shards a running run uses, and deletes it afterwards', async () => {
    const corpus = lines()
    await write('a.jsonl', corpus)
    const begun = await begin(4)
    await using store = await openStore(place.output)
    await setRunState(store, begun.run, 'cancelled')
    await write('a.jsonl', edit(corpus, 50))
    const { run: user } = await begin(1)
    const rules = { keep: 1, beforeMs: Number.POSITIVE_INFINITY }
    const before = await findGarbage(store, rules)
    expect(before.deletable).toEqual([])
    expect(before.kept).toContainEqual({ run: begun.run, reason: `run ${user} reuses it` })
    const { made } = await next()
    expect(made.plan.run).toBe(user)
    expect((await findGarbage(store, rules)).deletable).toMatchObject([{ run: begun.run }])
  })
})

test('the same corpus gives the same run, and a rolled-back run is not a base run', async () => {
  await write('a.jsonl', lines(100))
  const first = await next()
  expect((await next()).made.plan.run).toBe(first.made.plan.run)
  await write('b.jsonl', lines(10, 500))
  const second = await next()
  await using store = await openStore(place.output)
  await rollback(store)
  await write('c.jsonl', lines(10, 700))
  const third = await next()
  expect(third.made.plan.baseRun).toBe(first.made.plan.run)
  expect(second.made.plan.baseRun).toBe(first.made.plan.run)
  expect(third.embedded).toHaveLength(20)
})

test('the forecast counts reusable shards and the known share of the other documents', async () => {
  for (const name of ['a', 'b']) await write(`${name}.jsonl`, lines(300, name.charCodeAt(0) * 1_000))
  const { made } = await next()
  const edited = lines(300, 'b'.charCodeAt(0) * 1_000).map((line, i) =>
    i % 10 === 0 ? { ...line, text: `document ${i} is new` } : line,
  )
  await write('b.jsonl', edited)
  await write('z.jsonl', lines(100, 9_000))
  await using store = await openStore(place.output)
  await using corpus = await openCorpus(place.source)
  const request = { ...PER_SHARD, model: made.plan.recipe.model }
  const planned = await planRun(corpus, { ...request, findBaseRun: ids => findBaseRun(store, ids) })
  const forecast = await forecastReuse(store, corpus.store, planned)
  expect(forecast).toMatchObject({ baseRun: made.plan.run, reason: null, identical: { documents: 300 } })
  expect(forecast.changed.reusable / forecast.changed.documents).toBeCloseTo(0.9, 1)
  expect(forecast.added.examples).toEqual(['z.jsonl'])
  expect(forecast.toEmbed).toBeGreaterThan(90)
  expect(forecast.toEmbed).toBeLessThan(180)

  const other = await planRun(corpus, {
    ...request,
    prompt: 'passage: ',
    findBaseRun: ids => findBaseRun(store, ids),
  })
  expect(await forecastReuse(store, corpus.store, other)).toMatchObject({
    baseRun: null,
    reason: 'the recipe differs from that of the earlier run (prompt was "", is "passage: ")',
    toEmbed: other.head.estimatedDocuments,
  })
  await recordPlan(store, planned)
})
