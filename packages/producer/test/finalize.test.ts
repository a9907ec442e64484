// Parts of finalize at any size: rows spooled to a file, rejects in several objects.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rejectsKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { expect, test } from 'vitest'
import { putRejects } from '../src/rejects.ts'
import { createSpool } from '../src/spool.ts'

const rows = (count: number): { i: number; text: string }[] =>
  Array.from({ length: count }, (_, i) => ({ i, text: `row ${i}\n"ü"` }))

test.each([
  ['in memory', 1_000_000],
  ['in a file', 100],
  ['in a file and the rest in memory', 3_000],
])('a spool %s returns its rows in order, also twice', async (_, most) => {
  await using spool = createSpool<{ i: number; text: string }>(most)
  for (const row of rows(200)) await spool.add(row)
  expect(await Array.fromAsync(spool.rows())).toEqual(rows(200))
  expect(await Array.fromAsync(spool.rows())).toEqual(rows(200))
})

test('an empty spool returns no rows', async () => {
  await using spool = createSpool()
  expect(await Array.fromAsync(spool.rows())).toEqual([])
})

test('rejects are written to one object, to several beyond its maximum size, to an empty one without rejects', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-rejects-'))
  await using store = await openStore(folder)
  const rejects = Array.from({ length: 50 }, (_, i) => ({
    id: `d${i}`,
    key: 'a.jsonl',
    offset: i,
    line: i + 1,
    reason: 'empty_text' as const,
    message: 'the text is empty',
  }))
  await putRejects(store, 'none', [])
  await putRejects(store, 'one', rejects)
  await putRejects(store, 'many', rejects, 1_000)
  const lines = async (key: string): Promise<string[]> =>
    Buffer.from(await store.get(key))
      .toString()
      .split('\n')
      .slice(0, -1)
  expect(await lines(rejectsKey('none'))).toEqual([])
  expect(await lines(rejectsKey('one'))).toEqual(rejects.map(reject => JSON.stringify(reject)))
  const keys = await Array.fromAsync(store.list('runs/many/'), ({ key }) => key)
  expect(keys.slice(0, 2)).toEqual(['runs/many/rejects-00001.jsonl', 'runs/many/rejects-00002.jsonl'])
  const pieces = await Promise.all(keys.map((_, segment) => lines(rejectsKey('many', segment))))
  expect(pieces.flat()).toEqual(rejects.map(reject => JSON.stringify(reject)))
  await rm(folder, { recursive: true })
})
