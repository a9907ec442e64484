import type { Manifest } from '@reembed/protocol'
import type { ShardBatch } from '@reembed/shard'
import { expect, test } from 'vitest'
import { pgvector } from '../src/layouts/pgvector.ts'

test('pgvector refuses a text with U+0000, naming column and document', async () => {
  const layout = pgvector({
    manifest: { model: { dimensions: 2 } } as Manifest,
    extra: [{ kind: 'flat', name: 'text', type: 'string', nullable: false }],
    quantize: [],
    ranges: undefined,
    name: 'x',
  })
  async function* batches(): AsyncGenerator<ShardBatch> {
    yield {
      ids: ['a'],
      hashes: new Uint8Array(16),
      vectors: new Float32Array(2),
      extra: new Map([['text', ['zero \0']]]),
    }
  }
  await expect(layout.write({ shard: 0, rows: 1, stem: 's' }, batches()).next()).rejects.toThrow(
    'column text of document "a" contains the character U+0000',
  )
})
