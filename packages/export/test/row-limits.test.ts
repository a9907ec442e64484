import { expect, test } from 'vitest'
import { metadataOf, type RowLimits } from '../src/layout.ts'
import { problemOf, problemsOf } from '../src/row-limits.ts'

const columns = [
  { kind: 'flat', name: 'title', type: 'string', nullable: true },
  { kind: 'flat', name: 'year', type: 'int32', nullable: true },
  { kind: 'flat', name: 'text', type: 'string', nullable: false },
] as const

const limits: RowLimits = {
  consumer: 'a database',
  idBytes: 9,
  idLength: 8,
  stringBytes: ({ name }) => (name === 'text' ? 12 : undefined),
  metadataBytes: 60,
  characters: { pattern: /\0/, name: 'the character U+0000' },
}

test('the rows of a batch are refused in order, each for what a single row is refused for', () => {
  const rows = [
    { id: 'metadata', title: 'x'.repeat(60), text: 'short' },
    { id: 'fits', title: null, text: 'twelve bytes' },
    { id: 'ééééé', title: 'id of ten bytes', text: 'x'.repeat(13) },
    { id: 'too-long-', title: null, text: '' },
    { id: 'both', title: 'zero \0', text: 'more than twelve bytes' },
    { id: 'text', title: null, text: 'ééééééé' },
    { id: 'zero\0', title: null, text: '' },
  ]
  const batch = {
    ids: rows.map(({ id }) => id),
    hashes: new Uint8Array(),
    vectors: new Float32Array(),
    extra: new Map<string, (string | number | null)[]>([
      ['title', rows.map(({ title }) => title)],
      ['year', rows.map((_, row) => row)],
      ['text', rows.map(({ text }) => text)],
    ]),
  }
  const problems = problemsOf(batch, columns, limits)
  const each = [...metadataOf(batch)].map((record, row) =>
    problemOf({ id: batch.ids[row] ?? '', record }, columns, limits),
  )
  expect(Array.from(rows.keys(), row => problems.get(row))).toEqual(each)
  expect([...problems]).toEqual([
    [0, '96 bytes of metadata, at most 60 are possible'],
    [2, 'an id of 10 bytes, at most 9 are possible'],
    [3, 'an id of 9 characters, at most 8 are possible'],
    [4, 'the character U+0000 in the column title'],
    [5, '14 bytes in the column text, at most 12 are possible'],
    [6, 'the character U+0000 in the id'],
  ])
})
