// How much of a JSONL object is parsed for its first records.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SlicePart } from '@reembed/protocol'
import { openStore, type Store } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readJsonl } from '../src/jsonl/jsonl.ts'
import type { ReadPartOptions } from '../src/record-mapper.ts'

const LINES = 20_000
let folder: string
let store: Store
let part: SlicePart

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-jsonl-'))
  const lines = Array.from({ length: LINES }, (_, i) => JSON.stringify({ id: `d${i}`, text: 'a few words' }))
  await writeFile(join(folder, 'a.jsonl'), `${lines.join('\n')}\n`)
  store = await openStore(folder)
  const object = await store.head('a.jsonl')
  if (object === undefined) throw new Error('not written')
  part = { ...object, format: 'jsonl', start: 0, end: object.size }
})
afterAll(async () => {
  await store[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

function reading() {
  let mapped = 0
  const mapper = {
    needsExactNumbers: () => false,
    map: (record: { id: string; text: string }, position: object) => {
      mapped += 1
      return { kind: 'document', id: record.id, text: record.text, position }
    },
  } as unknown as ReadPartOptions['mapper']
  const arrays = readJsonl(store, part, { index: 0, mapper })
  return { arrays, mapped: () => mapped }
}

test('the first records of a chunk are given before the rest of it is parsed', async () => {
  const { arrays, mapped } = reading()
  const { value } = await arrays.next()
  expect(value).toHaveLength(mapped())
  expect(mapped()).toBeLessThan(200)
  await arrays.return({ key: 'a.jsonl', etag: 'e', start: 0, end: 0, lines: 0 })
  expect(mapped()).toBeLessThan(200)
})

test('all records follow in order, in arrays that grow', async () => {
  const { arrays } = reading()
  const all = await Array.fromAsync(arrays)
  expect(all.flat().map(record => record.kind === 'document' && record.id)).toEqual(
    Array.from({ length: LINES }, (_, i) => `d${i}`),
  )
  expect(all.length).toBeLessThan(40)
})
