import { expect, test } from 'vitest'
import { copyRows } from '../src/pg-copy.ts'

test('a row that PostgreSQL cannot store is left out of the copy, with the reason', () => {
  const texts = ['kept', 'zero \0', 'kept as well']
  const ids = ['a', 'b', 'c'.repeat(3_000)]
  const columns = [{ kind: 'flat', name: 'text', type: 'string', nullable: false }] as const
  const batch = {
    ids,
    hashes: new Uint8Array(48),
    vectors: new Float32Array(6),
    extra: new Map([['text', texts]]),
  }
  const { bytes, refused } = copyRows(batch, columns, 2)
  expect(refused).toEqual([
    { id: 'b', reason: 'PostgreSQL cannot store the character U+0000 in the column text' },
    {
      id: 'c'.repeat(3_000),
      reason: 'PostgreSQL cannot store an id of 3000 bytes, at most 2600 are possible',
    },
  ])
  expect(bytes.includes('kept')).toBe(true)
  expect(bytes.includes('kept as well')).toBe(false)
})
