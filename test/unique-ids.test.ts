// Ids whose hashes collide on purpose fill the list of repeated hashes. Such ids cannot be made, so
// the hash of the first attempt is replaced by one that has collisions.

import { requireUniqueIds } from '@reembed/evaluate'
import type { Plan } from '@reembed/protocol'
import { type IdHash, shardKey } from '@reembed/shared'
import { expect, test, vi } from 'vitest'
import { memoryStore, writeShard } from './shard/parts.ts'

vi.mock('@reembed/shared', async original => {
  const shared = await original<typeof import('@reembed/shared')>()
  const pairOf = (id: string): number => Number(id.slice(4)) >> 1
  const colliding: IdHash = {
    of: id => BigInt(pairOf(id)),
    write(bytes, start, end, target, row) {
      target[2 * row] = pairOf(Buffer.from(bytes).toString('utf8', start, end))
      target[2 * row + 1] = 0
    },
  }
  return {
    ...shared,
    createIdHash: (key: string) => (key.endsWith(' 0') ? colliding : shared.createIdHash(key)),
  }
})

test.each([undefined, { index: 0, of: 2 }])(
  'I2: more collisions than are kept hide no duplicate (part %o)',
  async part => {
    const ids = [...Array.from({ length: 80 }, (_, i) => `doc-${i}`), 'doc-999', 'doc-999']
    const compare = (some: readonly string[]) => {
      const { bytes } = writeShard({ rows: some.length, dimensions: 4, ids: some })
      const store = memoryStore({ [shardKey('r', 0, 1)]: bytes })
      const shards = { rows: some.length, shardsSha256: 'all' }
      return requireUniqueIds(store, { run: 'r', shards: 1 } as Plan, shards, { part })
    }
    await expect(compare(ids)).rejects.toMatchObject({
      code: 'DUPLICATE_ID',
      message: expect.stringContaining('"doc-999"'),
    })
    await compare(ids.slice(0, 81))
  },
)
