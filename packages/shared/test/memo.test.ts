import { expect, test } from 'vitest'
import { createMemo } from '../src/memo.ts'

/** A cache, and the keys whose value was created. */
function counted(options = {}) {
  const memo = createMemo<string, string>(options)
  const calls: string[] = []
  const get = (key: string, create = async () => key.toUpperCase()) =>
    memo.get(key, () => {
      calls.push(key)
      return create()
    })
  return { memo, calls, get }
}

test('a memo creates one value per key for concurrent callers', async () => {
  const { calls, get } = counted()
  expect(await Promise.all([get('a'), get('a'), get('b')])).toEqual(['A', 'A', 'B'])
  expect(calls).toEqual(['a', 'b'])
})

test('a memo does not keep a rejected promise', async () => {
  const { calls, get } = counted()
  await expect(get('a', () => Promise.reject(new Error('transient')))).rejects.toThrow('transient')
  expect(await get('a')).toBe('A')
  expect(calls).toEqual(['a', 'a'])
})

test('a late rejection does not remove a later value of the same key', async () => {
  const { calls, get } = counted({ max: 1 })
  const first = Promise.withResolvers<string>()
  const failing = get('a', () => first.promise)
  await get('b')
  await get('a')
  first.reject(new Error('late'))
  await expect(failing).rejects.toThrow('late')
  expect(await get('a')).toBe('A')
  expect(calls).toEqual(['a', 'b', 'a'])
})

test('a memo removes the least recently used value beyond max', async () => {
  const { calls, get } = counted({ max: 2 })
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) await get(key)
  expect(calls).toEqual(['a', 'b', 'c', 'b'])
})

test('a memo with sizes removes the least recently used values beyond their sum', async () => {
  const { calls, get } = counted({ max: 4, sizeOf: (value: string) => value.length })
  for (const key of ['aa', 'b', 'aa', 'cc', 'aa', 'b', 'ddddd', 'aa']) await get(key)
  expect(calls).toEqual(['aa', 'b', 'cc', 'b', 'ddddd', 'aa'])
})

test('settled waits for pending values and omits rejected ones', async () => {
  const { memo, get } = counted()
  const slow = Promise.withResolvers<string>()
  const pending = get('a', () => slow.promise)
  const failing = get('b', () => Promise.reject(new Error('broken')))
  const settled = memo.settled()
  slow.resolve('done')
  expect(await settled).toEqual(['done'])
  await expect(pending).resolves.toBe('done')
  await expect(failing).rejects.toThrow('broken')
})
