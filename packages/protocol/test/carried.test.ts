import { expect, test } from 'vitest'
import { isShardOf, type Plan, type Receipt, type Slice } from '../src/index.ts'

const plan = { run: 'new', baseRun: 'base', spaceId: 's', recipeId: 'r' } as Plan
const part = { key: 'a.jsonl', etag: '1', start: 100, end: 200 }
const read = { key: 'a.jsonl', etag: '1', start: 104, lines: 3 }
const carried = { run: 'base', shard: 7, spaceId: 's', recipeId: 'r', source: [read] } as unknown as Receipt

const isOf = (receipt: object, of: object = {}, parts: readonly object[] = [part]): boolean =>
  isShardOf({ ...carried, ...receipt }, { ...plan, ...of }, 2, { parts } as Slice)

test('a shard of another run is carried over to the slice of the same ranges, whatever its number', () => {
  expect(isOf({})).toBe(true)
  expect(isOf({ source: [{ ...read, start: 0, lines: 0 }] })).toBe(true)
})

test.each<[string, object, object?, object[]?]>([
  ['another version of the object', { source: [{ ...read, etag: '2' }] }],
  ['another object', { source: [{ ...read, key: 'b.jsonl' }] }],
  ['an earlier range', { source: [{ ...read, start: 99 }] }],
  ['a later range', { source: [{ ...read, start: 201 }] }],
  ['more parts', { source: [read, read] }],
  ['fewer parts', {}, {}, [part, part]],
  ['another model', { spaceId: 'other' }],
  ['another recipe', { recipeId: 'other' }],
  ['a run without base runs', {}, { baseRun: undefined }],
])('a shard of another run is not taken for the shard of a slice: %s', (_, receipt, of, parts) => {
  expect(isOf(receipt, of, parts)).toBe(false)
})

test('a shard of the run itself has the number of its job', () => {
  expect(isOf({ run: 'new', shard: 2 })).toBe(true)
  expect(isOf({ run: 'new', shard: 3 })).toBe(false)
})
