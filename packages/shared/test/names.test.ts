import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  canonical,
  idOf,
  modelKey,
  seqKey,
  seqOfKey,
  shardKey,
  shardOfKey,
  versionKey,
} from '../src/names.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const RUN = 'a'.repeat(26)

test('version keys list the newest version first', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (a, b) => {
      fc.pre(a < b)
      expect(versionKey(b) < versionKey(a)).toBe(true)
    }),
  )
})

test('sequence keys list in ascending order and parse back to their number', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (a, b) => {
      fc.pre(a < b)
      expect(seqKey(a) < seqKey(b)).toBe(true)
      expect(seqOfKey(seqKey(a))).toBe(a)
    }),
  )
})

test('shardOfKey returns the shard number of a shard key, and undefined for any other key', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3_000_000 }), fc.nat(), (shards, n) => {
      const shard = n % shards
      expect(shardOfKey(shardKey(RUN, shard, shards), RUN, shards)).toBe(shard)
    }),
  )
  for (const key of [
    'part-00000-of-00002.parquet.tmp',
    'x/part-00000-of-00002.parquet',
    'part-00000-of-00003.parquet',
    'part-00002-of-00002.parquet',
  ]) {
    expect(shardOfKey(`runs/${RUN}/data/${key}`, RUN, 2)).toBeUndefined()
  }
})

test('canonical JSON is equal for equal values in any member order, and differs for other values', () => {
  expect(canonical({ b: [1, { d: null, c: 'x' }], a: undefined })).toBe('{"b":[1,{"c":"x","d":null}]}')
  expect(canonical({ a: 1, b: 2 })).toBe(canonical({ b: 2, a: 1 }))
  expect(idOf({ a: 1 })).toMatch(/^[a-z2-7]{26}$/)
  expect(idOf({ a: 1 })).not.toBe(idOf({ a: '1' }))
})

test('model keys differ for different models whose readable part is equal', () => {
  expect(modelKey('a/b', null)).not.toBe(modelKey('a--b', null))
  expect(modelKey('../../x', 'y')).toMatch(/^models\/[A-Za-z0-9_@-][A-Za-z0-9._@-]*\.json$/)
})
