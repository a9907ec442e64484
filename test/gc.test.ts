// `reembed gc`: which objects it deletes, which it keeps, and how it recovers from an interruption.

import { appendFile, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findBaseRun, lookUpRun, type PlannedRun, recordPlan, requireBaseRun } from '@reembed/planner'
import {
  cancelRunDeletion,
  deleteRuns,
  finalize,
  findGarbage,
  forcePublish,
  type RetentionPolicy,
  rollback,
} from '@reembed/producer'
import {
  readManifest,
  readPlan,
  readRunState,
  readRunStateRecord,
  readSlices,
  readVersions,
  replacementIdOf,
  setRunState,
} from '@reembed/protocol'
import { manifestKey, planKey, planSegmentKey, runStateKey, runStatePrefix, shardKey } from '@reembed/shared'
import {
  type ObjectDeleter,
  ObjectNotFound,
  openDeleter,
  openStore,
  putJson,
  putRows,
  type Store,
} from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inProcess } from './parts/in-process.ts'
import { openPlace, type Place } from './parts/place.ts'

let place: Place

beforeEach(async () => {
  place = await openPlace(20)
})
afterEach(() => place[Symbol.asyncDispose]())

async function command(args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await inProcess([...args, '--output', place.output, '--json'], env)
  return { code, stderr, result: stdout === '' ? undefined : JSON.parse(stdout) }
}

/** Embeds the corpus as it is, or only plans it. */
async function make(how: 'run' | 'enqueue' = 'run', env: Record<string, string> = {}): Promise<string> {
  const places = ['--source', place.source, '--endpoint', place.endpoint, '--redis', place.redis]
  const { result, stderr } = await command([how, ...places, '--documents-per-shard', '5'], env)
  if (result === undefined) throw new Error(stderr)
  return result.run
}

/** So many versions, oldest first. */
async function versions(count: number, env: Record<string, string> = {}): Promise<string[]> {
  const runs: string[] = []
  for (let i = 0; i < count; i++) {
    await appendFile(place.source, `{"id":"later ${i}","text":"added later, ${i}"}\n`)
    runs.push(await make('run', env))
  }
  return runs
}

/** The tombstones that remain of a deleted run: the mark, and the committed deletion. */
const wordsOf = (run = ''): string[] => [runStateKey(run, 2), runStateKey(run, 1)]

const ANY_AGE = ['--older-than', '0']
const RULES = { keep: 1, beforeMs: Number.POSITIVE_INFINITY }

async function removeRun(
  store: Store,
  eraser: ObjectDeleter,
  run: string,
  rules: RetentionPolicy,
): Promise<boolean> {
  const [outcome] = await Array.fromAsync(deleteRuns(store, eraser, [run], rules))
  return outcome?.deleted === true
}

const keysOf = async (store: Store): Promise<string[]> => Array.fromAsync(store.list(''), ({ key }) => key)

test('P-GC: gc lists the runs and bytes that it would delete, and deletes nothing, without --delete', async () => {
  const [first, second, third] = await versions(3)
  await using store = await openStore(place.output)
  const before = await keysOf(store)
  const { code, result } = await command(['gc', ...ANY_AGE, '--keep', '2'])
  const below = await Array.fromAsync(store.list(`runs/${first}/`))
  expect({ code, ...result }).toMatchObject({
    code: 0,
    delete: false,
    kept: [
      { run: third, reason: 'version 3, current' },
      { run: second, reason: 'version 2' },
    ],
    deletable: [{ run: first, reason: 'version 1', objects: below.length }],
    bytes: below.reduce((sum, { size }) => sum + size, 0),
    deletedRuns: [],
  })
  expect(await keysOf(store)).toEqual(before)

  expect((await command(['gc', ...ANY_AGE, '--keep', '2', '--delete'])).result.deletedRuns).toEqual([first])
  const rest = before.filter(key => !key.startsWith(`runs/${first}/`))
  expect((await keysOf(store)).toSorted()).toEqual([...rest, ...wordsOf(first)].toSorted())
  for (const run of [second, third]) expect((await command(['verify', run ?? ''])).code).toBe(0)
  expect((await command(['gc', ...ANY_AGE, '--keep', '2', '--delete'])).result).toMatchObject({
    deletable: [],
  })
  await expect(rollback(store, first)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
})

test('P-GC: gc keeps unfinished and held runs and their base runs, and deletes cancelled runs', async () => {
  const [first, second] = await versions(2)
  await appendFile(place.source, '{"id":"more","text":"more"}\n')
  const open = await make('enqueue')
  await appendFile(place.source, '{"id":"given up","text":"given up"}\n')
  const cancelled = await make('enqueue')
  expect((await command(['cancel', cancelled])).code).toBe(0)
  const { result } = await command(['gc', ...ANY_AGE, '--keep', '1', '--delete'])
  expect(result.kept).toMatchObject([{ run: open, reason: 'not finished' }, { run: second }])
  expect(result.deletedRuns.toSorted()).toEqual([cancelled, first].toSorted())

  expect((await command(['pause', open])).code).toBe(0)
  await appendFile(place.source, '{"id":"third","text":"of the third version"}\n')
  const third = await make()
  expect((await command(['gc', ...ANY_AGE, '--keep', '1', '--delete'])).result).toMatchObject({
    kept: [
      { run: third },
      { run: open, reason: 'not finished: cancel it first' },
      { run: second, reason: `run ${open} reuses it` },
    ],
    deletedRuns: [],
  })
})

test('P-GC: gc keeps a run that was written, changed state or was replaced within the retention period', async () => {
  const [first = '', second = ''] = await versions(2)
  await appendFile(place.source, '{"id":"given up","text":"given up"}\n')
  const cancelled = await make('enqueue')
  expect((await command(['cancel', cancelled])).code).toBe(0)
  await using store = await openStore(place.output)
  const wouldGo = async (...args: string[]): Promise<string[]> =>
    (await command(['gc', '--keep', '1', ...args])).result.deletable.map(({ run }: { run: string }) => run)
  const older = async (prefix: string, days: number): Promise<void> => {
    for await (const { key } of store.list(prefix)) {
      const then = new Date(Date.now() - days * 86_400_000)
      await utimes(join(place.output, key), then, then)
    }
  }

  const { result } = await command(['gc', '--keep', '1', '--delete'])
  expect(result).toMatchObject({ deletable: [], deletedRuns: [] })
  expect(result.kept).toContainEqual({
    run: first,
    reason: expect.stringMatching(
      /^version 1, too recent: written or replaced on 20\d\d-\d\d-\d\d \d\d:\d\d UTC, deletable in 7 days$/,
    ),
  })
  expect((await readRunStateRecord(store, first)).number).toBe(0)

  // The first run is old, but it was current until a moment ago, so readers may still use it.
  await older(`runs/${first}/`, 8)
  expect(await wouldGo()).toEqual([])
  await older('versions/', 8)
  expect(await wouldGo()).toEqual([first])
  expect(await wouldGo('--older-than', '9')).toEqual([])
  expect(await command(['gc', '--older-than', '-1'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("argument '-1' is invalid. Expected a whole number of at least 0."),
  })
  // Cancelled a moment ago, however old its plan.
  await older(`runs/${cancelled}/plan`, 8)
  expect(await wouldGo()).toEqual([first])
  await older(`runs/${cancelled}/`, 8)
  expect((await wouldGo()).toSorted()).toEqual([cancelled, first].toSorted())
  // The moment between looking and deleting counts as well.
  await using eraser = await openDeleter(place.output)
  const beforeMs = Date.now() - 7 * 86_400_000
  await older(`runs/${first}/`, 0)
  expect(await removeRun(store, eraser, first, { keep: 1, beforeMs })).toBe(false)
  expect(await readRunState(store, first)).toBe('running')
  expect((await command(['gc', '--keep', '1', '--delete'])).result.deletedRuns).toEqual([cancelled])
  for (const run of [first, second]) expect((await command(['verify', run])).code).toBe(0)
})

test('P-GC: gc deletes only the named run, whatever its age, unless another run needs it', async () => {
  const [first = '', second = '', third = ''] = await versions(3)
  const removed = await command(['gc', first.slice(0, 8), '--keep', '1', '--delete'])
  expect(removed.result).toMatchObject({ deletedRuns: [first], kept: [] })
  expect(await command(['gc', first, '--delete'])).toMatchObject({ code: 2 })
  expect(await command(['verify', first.slice(0, 8)])).toEqual({
    code: 2,
    stderr: `reembed: run ${first} in ${place.output} was deleted: plan it again, which makes another run\n`,
    result: undefined,
  })
  expect(await command(['gc', third, '--keep', '1', '--delete'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`run ${third} in ${place.output} cannot be deleted: version 3, current`),
  })
  for (const run of [second, third]) expect((await command(['verify', run])).code).toBe(0)
})

test('P-GC: a resume, publish or rollback either spares the run or is refused when gc starts to delete it', async () => {
  const [first = '', second = ''] = await versions(2)
  await appendFile(place.source, '{"id":"given up","text":"given up"}\n')
  const open = await make('enqueue')
  await command(['cancel', open])
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  expect((await findGarbage(store, RULES)).deletable.map(({ run }) => run)).toContain(open)
  expect((await command(['resume', open])).code).toBe(0)
  expect(await removeRun(store, eraser, open, RULES)).toBe(false)
  expect(await readRunState(store, open)).toBe('running')

  await expect(removeRun(store, eraserThatStops(eraser, 0), first, RULES)).rejects.toThrow('killed')
  for (const args of [
    ['publish', first, '--force'],
    ['rollback', first],
  ]) {
    expect(await command(args)).toMatchObject({ code: 2, stderr: expect.stringMatching(/was deleted/) })
  }
  expect((await command(['current'])).result.run).toBe(second)
})

test('P-GC: a publisher publishes nothing when gc deleted its run while the publisher was frozen', async () => {
  const [first = '', second] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const manifest = await readManifest(store, first)
  const plan = await readPlan(store, first)
  if (!manifest || !plan) throw new Error('the first run is finished')
  expect(await removeRun(store, eraser, first, RULES)).toBe(true)
  // A finalizer that woke up wrote it.
  await putJson(store, manifestKey(first), manifest)
  await expect(rollback(store, first)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  await expect(forcePublish(store, manifest, plan)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  expect((await command(['current'])).result.run).toBe(second)
})

test('P-GC: the second of two finalizers publishes the manifest of the first when the base run was deleted in between', async () => {
  const [first = '', second = ''] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const [plan, written] = [await readPlan(store, second), await readManifest(store, second)]
  if (!plan || !written) throw new Error('the second run is finished')
  expect(written.baseRun).toEqual({ run: first, removedRows: 0 })
  expect(await removeRun(store, eraser, first, RULES)).toBe(true)
  let hasLooked = false
  const late: Store = Object.assign(Object.create(store), {
    async *stream(key: string, options?: object) {
      if (key !== manifestKey(second) || hasLooked) return yield* store.stream(key, options)
      hasLooked = true
      throw new ObjectNotFound(`${key} in ${store.url}`)
    },
  })
  expect(await finalize(late, plan)).toEqual(written)
  expect(hasLooked).toBe(true)
})

test('P-GC: gc deletes the old remains of crashes: objects of runs without a plan, partly written files', async () => {
  const [first = ''] = await versions(1)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const plan = await readPlan(store, first)
  if (!plan) throw new Error('the first run is planned')
  const crashed = 'crashed'.padEnd(26, 'a')
  const head = { ...plan, run: crashed }
  const slices = () => readSlices(store, plan)
  const planned: PlannedRun = { head, slices }
  // A producer was killed before it wrote the head of the plan, and a worker put a shard after the
  // deletion of its run.
  await putRows(store, planSegmentKey(crashed, 0), await Array.fromAsync(slices()))
  await store.putIfAbsent(shardKey(crashed, 0, plan.shards), Buffer.from('late'))
  await store.putIfAbsent('runs/notes/mine.txt', Buffer.from('not written by reembed'))
  const unfinished = join(place.output, '.reembed-crashed.tmp')
  await writeFile(unfinished, 'half a shard')

  expect((await command(['gc', '--delete'])).result).toMatchObject({ deletable: [], deletedRuns: [] })
  const old = { keep: 1, beforeMs: Date.now() - 60_000 }
  for (const key of [planSegmentKey(crashed, 0), shardKey(crashed, 0, plan.shards)])
    await utimes(join(place.output, key), 0, 0)
  await utimes(unfinished, 0, 0)
  expect((await findGarbage(store, old)).deletable).toMatchObject([{ run: crashed, objects: 2 }])

  // A plan of this run is refused during the deletion. The next gc completes an interrupted
  // deletion.
  await expect(removeRun(store, eraserThatStops(eraser, 1), crashed, old)).rejects.toThrow('killed')
  await expect(recordPlan(store, planned)).rejects.toMatchObject({
    code: 'RUN_STOPPED',
    message: expect.stringMatching(/was deleted/),
  })
  // What the planner put is new, and no reason to leave the run as it is.
  expect((await command(['gc', '--delete', crashed])).result.deletedRuns).toEqual([crashed])
  expect((await keysOf(store)).filter(key => key.includes(crashed))).toEqual(wordsOf(crashed))
  expect(await keysOf(store)).toContain('runs/notes/mine.txt')
  expect(await readdir(place.output)).not.toContain('.reembed-crashed.tmp')

  expect((await command(['gc'])).result.deletable).toEqual([])
})

test('P-GC: a producer gets the reason, not a missing plan, when gc deletes the run that it plans concurrently', async () => {
  const planned = await make()
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const plan = await readPlan(store, planned)
  if (!plan) throw new Error('the first run is planned')
  const run = 'twice'.padEnd(26, 'a')
  const twice: PlannedRun = { head: { ...plan, run }, slices: () => readSlices(store, plan) }
  let hasLooked = false
  const second: Store = Object.assign(Object.create(store), {
    async putIfAbsent(key: string, body: Uint8Array, options?: object) {
      if (key === planKey(run)) await recordPlan(store, twice)
      return store.putIfAbsent(key, body, options)
    },
    async *list(prefix: string) {
      yield* store.list(prefix)
      if (prefix !== runStatePrefix(run) || hasLooked) return
      hasLooked = true
      await setRunState(store, run, 'cancelled')
      expect(await removeRun(store, eraser, run, RULES)).toBe(true)
    },
  })
  expect(await recordPlan(second, twice)).toMatchObject({ plan: { run }, created: false })
  expect(await readPlan(store, run)).toBeUndefined()
})

test('P-GC: planning is refused or its run is kept when gc deletes the remains of an earlier planning concurrently', async () => {
  const planned = await make()
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const plan = await readPlan(store, planned)
  if (!plan) throw new Error('the first run is planned')
  const slices = () => readSlices(store, plan)
  const crashed = 'crashed'.padEnd(26, 'a')
  await putRows(store, planSegmentKey(crashed, 0), await Array.fromAsync(slices()))
  const slow: Store = Object.assign(Object.create(store), {
    async putIfAbsent(key: string, body: Uint8Array, options?: object) {
      if (key.endsWith('/plan.json')) await removeRun(store, eraser, crashed, RULES)
      return store.putIfAbsent(key, body, options)
    },
  })
  await expect(recordPlan(slow, { head: { ...plan, run: crashed }, slices })).rejects.toMatchObject({
    code: 'RUN_STOPPED',
    message: expect.stringMatching(/was deleted/),
  })
  const { run } = await lookUpRun(store, crashed)
  expect(run).toBe(replacementIdOf(crashed))
  await putRows(store, planSegmentKey(run, 0), await Array.fromAsync(slices()))
  expect((await findGarbage(store, RULES)).deletable.map(found => found.run).toSorted()).toEqual(
    [crashed, run].toSorted(),
  )
  const recorded = await recordPlan(store, { head: { ...plan, run }, slices })
  expect(await removeRun(store, eraser, run, RULES)).toBe(false)
  expect(await Array.fromAsync(readSlices(store, recorded.plan))).toEqual(await Array.fromAsync(slices()))
  expect(await readRunState(store, run)).toBe('running')
  // Deletes the plan that came too late together with the other remains.
  expect((await findGarbage(store, RULES)).deletable).toMatchObject([{ run: crashed, objects: 1 }])
})

test('P-GC: remaining runs stay complete, no worker works on deleted ones and the next gc completes the deletion when gc stops after any object', async () => {
  const [first = '', second = ''] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const prefix = `runs/${first}/`
  let stops = 0
  for (; stops < 100; stops += 1) {
    const done = await removeRun(store, eraserThatStops(eraser, 1), first, RULES).catch(() => undefined)
    if (done) break
    expect(await readRunState(store, first)).toBe('deleted')
    expect((await findGarbage(store, RULES)).deletable).toMatchObject([{ run: first }])
    await expect(setRunState(store, first, 'running')).rejects.toMatchObject({ code: 'RUN_STOPPED' })
    await expect(rollback(store, first)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
    expect((await Array.fromAsync(readVersions(store))).map(({ run }) => run)).toEqual([second, first])
  }
  // Manifest and its segment, rejects, shards, plan and its segment: each but the last was where it
  // stopped.
  expect(stops).toBeGreaterThan(8)
  expect((await command(['gc', ...ANY_AGE, '--keep', '1', '--delete'])).code).toBe(0)
  expect((await keysOf(store)).filter(key => key.startsWith(prefix))).toEqual(wordsOf(first))
  expect((await command(['verify', second])).code).toBe(0)
})

/** Deletes so many objects, then fails as a process that was killed. */
function eraserThatStops(eraser: ObjectDeleter, after: number): ObjectDeleter {
  let left = after
  return {
    async delete(key) {
      if (left-- <= 0) throw new Error('killed')
      await eraser.delete(key)
    },
    async [Symbol.asyncDispose]() {},
  }
}

test('P-GC: gc keeps a run that is rolled back to concurrently', async () => {
  const [first = '', second] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  expect((await findGarbage(store, RULES)).deletable).toMatchObject([{ run: first }])
  await rollback(store, first)
  const before = await keysOf(store)
  expect(await removeRun(store, eraser, first, RULES)).toBe(false)
  expect((await keysOf(store)).filter(key => !key.includes('/state/'))).toEqual(before)
  expect(await readRunState(store, first)).toBe('running')
  expect((await findGarbage(store, RULES)).deletable).toMatchObject([{ run: second }])
})

test('P-GC: a rollback to a marked run is refused, and the next gc clears the mark', async () => {
  const [first = '', second] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const killed: Store = Object.assign(Object.create(store), {
    async *list(prefix: string, options?: object) {
      if (prefix === `runs/${first}/`) throw new Error('killed')
      yield* store.list(prefix, options)
    },
  })
  await expect(removeRun(killed, eraser, first, RULES)).rejects.toThrow('killed')
  await expect(rollback(store, first)).rejects.toMatchObject({
    message: expect.stringMatching(/is being deleted/),
  })
  expect((await command(['current'])).result.run).toBe(second)
  expect((await command(['gc', ...ANY_AGE, '--keep', '1', '--delete'])).result.deletedRuns).toEqual([])
  expect(await rollback(store, first)).toMatchObject({ status: 'published' })
  expect((await command(['verify', first])).code).toBe(0)
})

test('P-GC: a gc that was frozen erases nothing of a run that another gc spared and a rollback made current', async () => {
  const [first = ''] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  let whole: string[] | undefined
  const stalled: Store = Object.assign(Object.create(store), {
    // Decided already: what it lists next is what it is about to erase.
    async *list(prefix: string, options?: object) {
      if (prefix === `runs/${first}/`) {
        await cancelRunDeletion(store, first)
        await rollback(store, first)
        whole = await keysOf(store)
      }
      yield* store.list(prefix, options)
    },
  })
  expect(await removeRun(stalled, eraser, first, RULES)).toBe(false)
  expect(await keysOf(store)).toEqual(whole)
  expect((await command(['current'])).result.run).toBe(first)
  expect((await command(['verify'])).code).toBe(0)
})

test('P-GC: a deleted run is planned again under another id, and a late deletion takes no object of the new run', async () => {
  const [corpus, then] = [await readFile(place.source), new Date('2026-01-01')]
  await utimes(place.source, then, then)
  const first = await make()
  await versions(1)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  const late: string[] = []
  const stalled: ObjectDeleter = {
    delete: async key => void late.push(key),
    async [Symbol.asyncDispose]() {},
  }
  expect(await removeRun(store, stalled, first, RULES)).toBe(true)
  await command(['gc', ...ANY_AGE, '--keep', '1', '--delete'])

  await writeFile(place.source, corpus)
  await utimes(place.source, then, then)
  const again = await make()
  expect(again).toBe(replacementIdOf(first))
  const whole = await keysOf(store)
  for (const key of late) await eraser.delete(key)
  expect(late).toContain(manifestKey(first))
  expect(await keysOf(store)).toEqual(whole)
  expect((await command(['verify', again])).code).toBe(0)
  expect(await make()).toBe(again)
})

test('P-GC: planning uses no marked run as base run, and deletion of the base run later only costs reuse', async () => {
  const [first = ''] = await versions(1)
  await appendFile(place.source, '{"id":"more","text":"more"}\n')
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  await eraser.delete(planSegmentKey(first, 0))
  const second = await make('enqueue')
  expect((await readPlan(store, second))?.baseRun).toBe(first)
  expect(await make()).toBe(second)
  expect((await command(['verify', second])).code).toBe(0)
  expect(await readManifest(store, second)).toMatchObject({ totals: { rows: 22, reused: 0 } })

  const plan = await readPlan(store, first)
  if (!plan) throw new Error('the first run is planned')
  expect(await requireBaseRun(store, second, plan)).toMatchObject({ plan: { run: second } })
  await setRunState(store, second, 'deleting')
  expect((await findBaseRun(store, plan)).plan).toBeUndefined()
  await cancelRunDeletion(store, second)
  await appendFile(place.source, '{"id":"last","text":"last"}\n')
  await make()
  await expect(removeRun(store, eraserThatStops(eraser, 0), second, RULES)).rejects.toThrow('killed')
  await expect(requireBaseRun(store, second, plan)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
})

test('P-GC: gc does not take a finished run for an unfinished one while another gc erases', async () => {
  const [base = '', user = ''] = await versions(3)
  await using store = await openStore(place.output)
  await using eraser = await openDeleter(place.output)
  expect((await readPlan(store, user))?.baseRun).toBe(base)
  let going: Promise<boolean> | undefined
  const meanwhile = (): Promise<boolean> => (going ??= removeRun(store, eraser, user, RULES))
  // Of the reads of the dependent run, its state record and its manifest, one is answered before
  // the deletion.
  const slow: Store = {
    ...store,
    async *stream(key, options) {
      yield* store.stream(key, options)
      if (key === manifestKey(user)) await meanwhile()
    },
    async *list(prefix, options) {
      const listed = await Array.fromAsync(store.list(prefix, options))
      if (prefix === runStatePrefix(user)) await meanwhile()
      yield* listed
    },
  }
  const { kept, deletable } = await findGarbage(slow, RULES)
  expect(await going).toBe(true)
  expect(deletable.map(({ run }) => run)).toContain(base)
  expect(kept.map(({ run }) => run)).not.toContain(user)
})

test('P-GC: gc uses the clock of S3 when the output is in S3', async () => {
  await using s3 = await startS3Server({ buckets: ['bucket'], clockOffsetMs: -30 * 86_400_000 })
  place.output = 's3://bucket/vectors'
  const [first, second] = await versions(2, s3.env)
  const bucket = s3.bucket('bucket')
  const gc = async () => (await command(['gc', '--keep', '1', '--delete'], s3.env)).result
  expect((await gc()).deletedRuns).toEqual([])
  for (const key of bucket.keys()) bucket.setModified(key, new Date(Date.now() - 36 * 86_400_000))
  expect((await gc()).deletedRuns).toEqual([])
  for (const key of bucket.keys()) bucket.setModified(key, new Date(Date.now() - 38 * 86_400_000))
  expect((await gc()).deletedRuns).toEqual([first])
  const keys = bucket.keys()
  expect(keys.filter(key => key.includes(first ?? ''))).toEqual(wordsOf(first).map(key => `vectors/${key}`))
  expect((await command(['verify', second ?? ''], s3.env)).code).toBe(0)
})
