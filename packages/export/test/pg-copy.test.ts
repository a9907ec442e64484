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

test('a value of each type is written as COPY reads it', () => {
  const types = ['string', 'int32', 'int64', 'double', 'boolean'] as const
  const columns = types.map(type => ({ kind: 'flat', name: type, type, nullable: true }) as const)
  const batch = {
    ids: ['é', 'b'],
    hashes: new Uint8Array(32),
    // A view into a larger buffer.
    vectors: new Float32Array([9, 1, -2.5, 0, 3, 9]).subarray(1, 5),
    extra: new Map<string, (string | number | bigint | boolean | null)[]>([
      ['string', ['a', null]],
      ['int32', [-2, null]],
      ['int64', [2n ** 60n, null]],
      ['double', [0.5, null]],
      ['boolean', [true, null]],
    ]),
  }
  const hex = copyRows(batch, columns, 2).bytes.toString('hex')
  const [fields, none] = ['0007', 'ffffffff']
  expect(hex).toBe(
    [
      fields,
      '00000002c3a9',
      '0000000c000200003f800000c0200000',
      '0000000161',
      '00000004fffffffe',
      '000000081000000000000000',
      '000000083fe0000000000000',
      '0000000101',
      fields,
      '0000000162',
      '0000000c000200000000000040400000',
      ...Array(5).fill(none),
    ].join(''),
  )
})
