import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { encodeHashes } from '../src/read/columns.ts'
import { createHashTable } from '../src/reuse/hash-table.ts'
import {
  createReuseIndex,
  type IndexedShard,
  type ReuseIndex,
  searchInOrder,
} from '../src/reuse/reuse-index.ts'

const BATCH = 1_024

const hashes = (count: number, name = 'text'): string[] =>
  Array.from({ length: count }, (_, i) =>
    createHash('md5').update(`${name} ${i}`).digest().toString('latin1'),
  )

/** A shard with these texts: `has` reads nothing else of it. */
const shardOf = (texts: readonly string[]): IndexedShard =>
  ({ key: '', hashes: createHashTable(encodeHashes(texts)) }) as unknown as IndexedShard

/** An index of one near and one far shard, and how often the far one was opened. */
function indexOf(near: readonly string[], far: readonly string[]) {
  const opened = { far: 0 }
  const index = createReuseIndex({} as never, {
    dimensions: 1,
    async *nearShards() {
      yield shardOf(near)
    },
    async *farShards() {
      opened.far += 1
      yield shardOf(far)
    },
  })
  return { index, opened }
}

test.each([
  [BATCH / 8, 0],
  [BATCH / 8 + 1, 1],
])(
  'of a batch of 1,024 texts of which %s are not near, the far shards are opened %s times',
  async (missing, times) => {
    const texts = hashes(BATCH)
    const { index, opened } = indexOf(texts.slice(missing), texts)
    const found = (await searchInOrder([index]).has(texts)).filter(Boolean)
    expect(found).toHaveLength(times === 0 ? BATCH - missing : BATCH)
    expect(opened.far).toBe(times)
  },
)

test.each(['has', 'findVectors'] as const)(
  '%s: a few texts that an earlier index lacks are few of the batch, not many of those left',
  async lookUp => {
    const texts = hashes(BATCH)
    const earlier: ReuseIndex = {
      has: async sought => sought.map((_, i) => i >= 4),
      findVectors: async sought => sought.map((_, i) => (i < 4 ? undefined : new Float32Array(1))),
    }
    const { index, opened } = indexOf([], texts)
    const found = await searchInOrder([searchInOrder([earlier]), searchInOrder([index])])[lookUp](texts)
    expect(found.filter(Boolean)).toHaveLength(BATCH - 4)
    expect(opened.far).toBe(0)
  },
)
