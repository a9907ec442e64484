// How much of a JSONL object is parsed for its first records.

import { expect, test } from 'vitest'
import { computedStore, literal } from '../../../test/bounds/store.ts'
import { readJsonl } from '../src/jsonl/jsonl.ts'
import type { ReadPartOptions } from '../src/record-mapper.ts'

const LINES = 20_000
const object = literal(
  Array.from(
    { length: LINES },
    (_, i) => `${JSON.stringify({ id: `d${i}`, text: 'a text of a few words' })}\n`,
  ).join(''),
)
const part = {
  key: 'a.jsonl',
  etag: 'e',
  size: object.size,
  format: 'jsonl' as const,
  start: 0,
  end: object.size,
}

function reading() {
  let mapped = 0
  const mapper = {
    needsExactNumbers: () => false,
    map: (record: { id: string; text: string }, position: object) => {
      mapped += 1
      return { kind: 'document', id: record.id, text: record.text, position }
    },
  } as unknown as ReadPartOptions['mapper']
  const arrays = readJsonl(
    computedStore(() => object),
    part,
    { index: 0, mapper },
  )
  return { arrays, mapped: () => mapped }
}

test('the first records of a chunk are given before the rest of it is parsed', async () => {
  const { arrays, mapped } = reading()
  const { value } = await arrays.next()
  expect(value).toHaveLength(mapped())
  expect(mapped()).toBeLessThan(100)
  await arrays.return({ key: 'a.jsonl', etag: 'e', start: 0, end: 0, lines: 0 })
  expect(mapped()).toBeLessThan(100)
})

test('all records follow in order, in arrays that grow', async () => {
  const { arrays } = reading()
  const all = await Array.fromAsync(arrays)
  expect(all.flat().map(record => record.kind === 'document' && record.id)).toEqual(
    Array.from({ length: LINES }, (_, i) => `d${i}`),
  )
  expect(all.length).toBeLessThan(12)
})
