import { expect, test } from 'vitest'
import { countDocumentsDone } from '../src/documents-done.ts'

test('a shard that two workers made counts once', () => {
  // 60,000 documents in 600 shards, of which Redis has counted 190 twice.
  const progress = { shards: 790, documents: 79_000, openDocuments: 109 }
  expect(countDocumentsDone({ done: 600, total: 600 }, progress, 60_000)).toBe(60_000)
  const halfway = { shards: 400, documents: 40_000, openDocuments: 700 }
  expect(countDocumentsDone({ done: 300, total: 600 }, halfway, 60_000)).toBe(30_700)
})

test('counts of Redis are exact, and shards from before it was emptied have the mean of the plan', () => {
  const exact = { shards: 3, documents: 307, openDocuments: 20 }
  expect(countDocumentsDone({ done: 3, total: 10 }, exact, 1_000)).toBe(327)
  expect(countDocumentsDone({ done: 5, total: 10 }, exact, 1_000)).toBe(527)
})

test('entries of shards whose workers were killed do not exceed the shards that are missing', () => {
  const progress = { shards: 9, documents: 900, openDocuments: 350 }
  expect(countDocumentsDone({ done: 9, total: 10 }, progress, 1_000)).toBe(1_000)
})
