import { expect, test } from 'vitest'
import { contentHashOf, encodeHashes } from '../src/read/columns.ts'
import { createHashTable } from '../src/reuse/hash-table.ts'

const hashesOf = (count: number, name = 'text'): string[] =>
  Array.from({ length: count }, (_, i) => contentHashOf(`${name} ${i}`))

test.each([0, 1, 2, 3, 1_000, 43_690])('each of %i hashes is found in its row, and no other', count => {
  const hashes = hashesOf(count)
  const table = createHashTable(encodeHashes(hashes))
  for (const [row, hash] of hashes.entries()) if (table.rowOf(hash) !== row) expect.unreachable(`row ${row}`)
  for (const hash of hashesOf(1_000, 'other')) expect(table.rowOf(hash)).toBeUndefined()
})

test('of equal hashes the first row is found, and hashes that begin alike are different', () => {
  const [hash = ''] = hashesOf(1)
  const alike = Array.from(
    { length: 12 },
    (_, i) => hash.slice(0, 4 + i) + String.fromCharCode(i).repeat(12 - i),
  )
  const table = createHashTable(encodeHashes([...alike, hash, hash]))
  expect([...alike, hash].map(table.rowOf)).toEqual([...alike.keys(), 12])
})

test('the table has its own copy of the bytes, which may be a part of a larger buffer', () => {
  const hashes = hashesOf(10)
  const around = Buffer.concat([Buffer.alloc(7), encodeHashes(hashes), Buffer.alloc(7)])
  const table = createHashTable(around.subarray(7, -7))
  around.fill(0)
  expect(hashes.map(table.rowOf)).toEqual([...hashes.keys()])
})
