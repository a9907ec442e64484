// The vectors of texts that a run repeats: the last ones are kept, within a bound, and one job does
// not see those of another before its shard is complete.

import { expect, test } from 'vitest'
import { createRepeatedTexts } from '../src/repeated-texts.ts'

const vector = (value: number): Float32Array => Float32Array.of(value, -value)

test('a job sees its own texts, and those of completed jobs', () => {
  const texts = createRepeatedTexts(2)
  const [one, other] = [texts.begin(), texts.begin()]
  one.add('a', vector(1))
  expect([one.find('a'), other.find('a'), one.find('b')]).toEqual([vector(1), undefined, undefined])
  one.complete()
  expect(other.find('a')).toEqual(vector(1))
})

test('a vector of a job that failed is replaced by that of another job', () => {
  const texts = createRepeatedTexts(2)
  texts.begin().add('a', vector(1))
  const other = texts.begin()
  other.add('a', vector(2))
  other.complete()
  expect(texts.begin().find('a')).toEqual(vector(2))
})

test('a text that was found again is kept longer than one that was not', () => {
  const job = createRepeatedTexts(2, 3 * 8).begin()
  for (const [i, hash] of ['a', 'b', 'c'].entries()) job.add(hash, vector(i))
  expect(job.find('a')).toEqual(vector(0))
  job.add('d', vector(3))
  expect(['a', 'b', 'c', 'd'].map(hash => job.find(hash))).toEqual([
    vector(0),
    undefined,
    vector(2),
    vector(3),
  ])
})

test('a found vector does not change when its place is given to another text', () => {
  const job = createRepeatedTexts(2, 8).begin()
  job.add('a', vector(1))
  const found = job.find('a')
  job.add('b', vector(2))
  expect([found, job.find('a'), job.find('b')]).toEqual([vector(1), undefined, vector(2)])
})

test('of a corpus that repeats no text few vectors are kept, until one is found', () => {
  const job = createRepeatedTexts(1).begin()
  const value = Float32Array.of(1)
  const add = (name: string, texts: number): number => {
    for (let i = 0; i < texts; i++) job.add(`${name}${i}`, value)
    return Array.from({ length: texts }, (_, i) => i).filter(i => job.find(`${name}${i}`)).length
  }
  for (let i = 0; i < 8_192; i++) job.add(`first${i}`, value)
  for (let i = 0; i < 160; i++) job.add(`next${i}`, value)
  expect(Array.from({ length: 160 }, (_, i) => i).filter(i => job.find(`next${i}`))).toHaveLength(10)
  expect(add('again', 160)).toBe(160)
})
