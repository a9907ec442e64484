// `reembed gc`: what goes, what stays, and what becomes of it when it is stopped half-way.

import { appendFile } from 'node:fs/promises'
import { findGarbage, removeRun, rollback, spareRun } from '@reembed/producer'
import {
  type Eraser,
  openEraser,
  openStore,
  readRunState,
  readVersions,
  type Store,
  setRunState,
} from '@reembed/shared'
import { startS3Server } from '@reembed/shared/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, writeJsonl } from './parts/cli.ts'
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
  const { result } = await command([how, ...places, '--documents-per-shard', '5'], env)
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

const keysOf = async (store: Store): Promise<string[]> => Array.fromAsync(store.list(''), ({ key }) => key)

test('P-GC: says what would go and how much that is, and deletes nothing unless told to', async () => {
  const [first, second, third] = await versions(3)
  await using store = await openStore(place.output)
  const before = await keysOf(store)
  const { code, result } = await command(['gc', '--keep', '2'])
  const below = await Array.fromAsync(store.list(`runs/${first}/`))
  expect({ code, ...result }).toMatchObject({
    code: 0,
    deleted: false,
    kept: [
      { run: third, why: 'version 3, current' },
      { run: second, why: 'version 2' },
    ],
    removable: [{ run: first, why: 'version 1', objects: below.length }],
    bytes: below.reduce((sum, { size }) => sum + size, 0),
    removed: [],
  })
  expect(await keysOf(store)).toEqual(before)

  expect((await command(['gc', '--keep', '2', '--delete'])).result.removed).toEqual([first])
  const rest = before.filter(key => !key.startsWith(`runs/${first}/`))
  expect(await keysOf(store)).toEqual(rest)
  for (const run of [second, third]) expect((await command(['verify', run ?? ''])).code).toBe(0)
  expect((await command(['gc', '--keep', '2', '--delete'])).result).toMatchObject({ removable: [] })
  await expect(rollback(store, first)).rejects.toMatchObject({ code: 'RUN_UNKNOWN' })
})

test('P-GC: what is under way, held back, or reused by what is under way stays; what was cancelled goes', async () => {
  const [first, second] = await versions(2)
  await appendFile(place.source, '{"id":"more","text":"more"}\n')
  const open = await make('enqueue')
  await appendFile(place.source, '{"id":"given up","text":"given up"}\n')
  const cancelled = await make('enqueue')
  expect((await command(['cancel', cancelled])).code).toBe(0)
  const { result } = await command(['gc', '--keep', '1', '--delete'])
  expect(result.kept).toMatchObject([{ run: open, why: 'not finished' }, { run: second }])
  expect(result.removed.toSorted()).toEqual([cancelled, first].toSorted())

  expect((await command(['pause', open])).code).toBe(0)
  await appendFile(place.source, '{"id":"third","text":"of the third version"}\n')
  const third = await make()
  expect((await command(['gc', '--keep', '1', '--delete'])).result).toMatchObject({
    kept: [
      { run: third },
      { run: open, why: 'not finished: `reembed cancel` it first' },
      { run: second, why: `run ${open} reuses it` },
    ],
    removed: [],
  })
})

test('P-GC: stopped after any object, what stays is whole, nobody works on what goes, and the next gc ends it', async () => {
  const [first = '', second = ''] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openEraser(place.output)
  const prefix = `runs/${first}/`
  let stops = 0
  for (; stops < 100; stops += 1) {
    const done = await removeRun(store, eraserThatStops(eraser, 1), first, { keep: 1 }).catch(() => undefined)
    if (done) break
    expect(await readRunState(store, first)).toBe('removed')
    expect((await findGarbage(store, 1)).removable).toMatchObject([{ run: first }])
    await expect(setRunState(store, first, 'running')).rejects.toMatchObject({ code: 'RUN_STOPPED' })
    await expect(rollback(store, first)).rejects.toMatchObject({ code: 'RUN_UNKNOWN' })
    expect((await Array.fromAsync(readVersions(store))).map(({ run }) => run)).toEqual([second, first])
  }
  // Manifest and its segment, rejects, shards, plan and its segment: each but the last was where it stopped.
  expect(stops).toBeGreaterThan(8)
  expect((await command(['gc', '--keep', '1', '--delete'])).code).toBe(0)
  expect((await keysOf(store)).filter(key => key.startsWith(prefix))).toEqual([])
  expect((await command(['verify', second])).code).toBe(0)
})

/** Deletes so many objects, then fails as a process that was killed. */
function eraserThatStops(eraser: Eraser, after: number): Eraser {
  let left = after
  return {
    async erase(key) {
      if (left-- <= 0) throw new Error('killed')
      await eraser.erase(key)
    },
    async [Symbol.asyncDispose]() {},
  }
}

test('P-GC: a run that somebody goes back to meanwhile is spared', async () => {
  const [first = '', second] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openEraser(place.output)
  expect((await findGarbage(store, 1)).removable).toMatchObject([{ run: first }])
  await rollback(store, first)
  const before = await keysOf(store)
  expect(await removeRun(store, eraser, first, { keep: 1 })).toBe(false)
  expect((await keysOf(store)).filter(key => !key.includes('/control/'))).toEqual(before)
  expect(await readRunState(store, first)).toBe('running')
  expect((await findGarbage(store, 1)).removable).toMatchObject([{ run: second }])
})

test('P-GC: whoever goes back to a run that is marked is refused, and the next gc takes the mark away', async () => {
  const [first = '', second] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openEraser(place.output)
  await expect(removeRun(store, eraserThatStops(eraser, 0), first, { keep: 1 })).rejects.toThrow('killed')
  await expect(rollback(store, first)).rejects.toMatchObject({
    message: expect.stringMatching(/is being removed/),
  })
  expect((await command(['current'])).result.run).toBe(second)
  expect((await command(['gc', '--keep', '1', '--delete'])).result.removed).toEqual([])
  expect(await rollback(store, first)).toMatchObject({ status: 'published' })
  expect((await command(['verify', first])).code).toBe(0)
})

test('P-GC: a gc that stood still erases nothing of a run that was spared and gone back to meanwhile', async () => {
  const [first = ''] = await versions(2)
  await using store = await openStore(place.output)
  await using eraser = await openEraser(place.output)
  let whole: string[] | undefined
  const stalled: Store = Object.assign(Object.create(store), {
    // Decided already: what it lists next is what it is about to erase.
    async *list(prefix: string, options?: object) {
      if (prefix === `runs/${first}/`) {
        await spareRun(store, first)
        await rollback(store, first)
        whole = await keysOf(store)
      }
      yield* store.list(prefix, options)
    },
  })
  expect(await removeRun(stalled, eraser, first, { keep: 1 })).toBe(false)
  expect(await keysOf(store)).toEqual(whole)
  expect((await command(['current'])).result.run).toBe(first)
  expect((await command(['verify'])).code).toBe(0)
})

test('P-GC: a run that was removed can be made again, as it was', async () => {
  const first = await make()
  await versions(1)
  await command(['gc', '--keep', '1', '--delete'])
  await writeJsonl(place.source, documents(20))
  // The file has the size and content that it had, but its time is another: so is the run.
  const again = await make()
  expect(again).not.toBe(first)
  expect((await command(['verify', again])).code).toBe(0)
})

test('P-GC: in S3 as well', async () => {
  await using s3 = await startS3Server({ buckets: ['bucket'] })
  place.output = 's3://bucket/vectors'
  const [first, second] = await versions(2, s3.env)
  const { result } = await command(['gc', '--keep', '1', '--delete'], s3.env)
  expect(result.removed).toEqual([first])
  const keys = s3.bucket('bucket').keys()
  expect(keys.filter(key => key.includes(first ?? ''))).toEqual([])
  expect((await command(['verify', second ?? ''], s3.env)).code).toBe(0)
})
