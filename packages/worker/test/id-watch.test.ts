// Ids that occur twice, as a worker sees them before finalize: within a shard, in a repeated
// attempt, and beside another job of the worker.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Plan } from '@reembed/protocol'
import { openStore, type Store } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIdWatch } from '../src/id-watch.ts'

const { signal } = new AbortController()
let folder: string
let store: Store

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-id-watch-'))
  store = await openStore(folder)
})
afterAll(async () => {
  await store[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** A run of its own: its shards are never written. */
const runOf = (run: string) => ({ store, plan: { run, shards: 9 } as Plan })

test('an id that occurs twice in a shard is found, in one window and in two', async () => {
  const watch = createIdWatch()
  const one = watch.begin(runOf('a'), 1)
  await expect(one.add(['x', 'y', 'x'], signal)).rejects.toMatchObject({ code: 'DUPLICATE_ID' })
  const two = watch.begin(runOf('a'), 2)
  await two.add(['p', 'q'], signal)
  await two.add(['r'], signal)
  await expect(two.add(['s', 'q'], signal)).rejects.toThrow('"q" (twice in shard 2)')
})

test('a repeated attempt may have the ids of the first, and no id twice', async () => {
  const watch = createIdWatch()
  await watch.begin(runOf('a'), 1).add(['x', 'y', 'z'], signal)
  const again = watch.begin(runOf('a'), 1)
  await again.add(['x', 'y'], signal)
  await again.add(['z'], signal)
  await expect(again.add(['n', 'y'], signal)).rejects.toThrow('"y" (twice in shard 1)')
})

test('an id that another job put in between is still found when it occurs twice in the shard', async () => {
  const watch = createIdWatch()
  const [one, other] = [watch.begin(runOf('a'), 1), watch.begin(runOf('a'), 2)]
  await one.add(['x'], signal)
  await other.add(['x'], signal)
  await expect(one.add(['x'], signal)).rejects.toThrow('"x" (twice in shard 1)')
})

test('an id that occurs twice in a shard is found while jobs of three runs take turns', async () => {
  const watch = createIdWatch()
  const attempts = ['a', 'b', 'c'].map(run => watch.begin(runOf(run), 1))
  for (const attempt of attempts) await attempt.add(['x', 'y'], signal)
  for (const attempt of attempts) await attempt.add(['z'], signal)
  for (const attempt of attempts)
    await expect(attempt.add(['y'], signal)).rejects.toThrow('"y" (twice in shard 1)')
})

test('an id that occurs twice in a shard is found after the ids of the run are too many to watch', async () => {
  const watch = createIdWatch({ maxIds: 2 })
  const one = watch.begin(runOf('a'), 1)
  await one.add(['x', 'y', 'z'], signal)
  await expect(one.add(['n', 'z'], signal)).rejects.toThrow('"z" (twice in shard 1)')
  const other = watch.begin(runOf('a'), 2)
  await expect(other.add(['p', 'q', 'p'], signal)).rejects.toThrow('"p" (twice in shard 2)')
})
