// Hashes of ids beyond memory are sorted in files. The caller states their maximum number, so a
// test can use the files with a few hashes.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createIdHash } from '@reembed/shared'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openBuckets } from '../src/verify/buckets.ts'
import { ofPart } from '../src/verify/part.ts'
import { duplicateHashes } from '../src/verify/unique-ids.ts'

/** Three buckets' worth. */
const VERY_MANY = 20_000_000
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-spill-'))
  vi.stubEnv('TMPDIR', folder)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

const { of: hashOf } = createIdHash('unique')

async function* shards(...all: string[][]) {
  for (const ids of all) yield { hashes: BigUint64Array.from(ids, hashOf) }
}
const ids = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `doc-${from + i}`)

test.each([
  ['in memory', 100_000],
  ['through files', VERY_MANY],
])('I2: an id repeated in a later shard is found %s, and no other id', async (_, rows) => {
  const found = await duplicateHashes(
    shards(ids(0, 40_000), ids(40_000, 40_000), ['doc-17', 'doc-79999']),
    rows,
  )
  expect(found).toEqual(new Set([hashOf('doc-17'), hashOf('doc-79999')]))
  expect(await duplicateHashes(shards(ids(0, 40_000), ids(40_000, 40_000)), rows)).toEqual(new Set())
  expect(await readdir(folder)).toEqual([])
})

test('P-BOUNDED: buckets in files return all hashes, sorted within each bucket', async () => {
  const buckets = await openBuckets(VERY_MANY)
  // Enough that each bucket is written more than once.
  const hashes = Array.from({ length: 100_000 }, (_, i) => hashOf(`${i}`))
  for (let i = 0; i < hashes.length; i += 100)
    await buckets.add(BigUint64Array.from(hashes.slice(i, i + 100)))
  const [spilled = ''] = await readdir(folder)
  expect((await readdir(join(folder, spilled))).sort()).toEqual(['0', '1', '2'])
  const back: BigUint64Array[] = []
  for await (const sorted of buckets.sorted()) back.push(sorted.slice())
  await buckets.close()
  expect(back).toHaveLength(3)
  const where = new Map(back.flatMap((bucket, place) => Array.from(bucket, hash => [hash, place] as const)))
  expect([...where.keys()].sort()).toEqual([...new Set(hashes)].sort())
  for (const bucket of back) expect(bucket).toEqual(bucket.slice().sort())
  expect(await readdir(folder)).toEqual([])
})

test('buckets in files keep hashes together that differ only in the lowest bit', async () => {
  const buckets = await openBuckets(VERY_MANY)
  const pairs = Array.from({ length: 300 }, (_, i) => (hashOf(`${i}`) >> 1n) << 1n)
  for (const hash of pairs) await buckets.add(BigUint64Array.of(hash, hash + 1n))
  for await (const sorted of buckets.sorted()) {
    const seen = new Set(sorted)
    for (const hash of seen) expect(seen.has(hash ^ 1n)).toBe(true)
  }
  await buckets.close()
})

test('P-VERIFY: every id hash belongs to exactly one of the parts, so one of them finds a duplicate', () => {
  const all = BigUint64Array.from(ids(0, 3_000), hashOf)
  const parts = Array.from({ length: 7 }, (_, index) => ofPart(all.slice(), { index, of: 7 }))
  expect(parts.flatMap(part => [...part]).sort()).toEqual([...all].sort())
  for (const part of parts) expect(part.length).toBeGreaterThan(300)
})
