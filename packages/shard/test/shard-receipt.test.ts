import { parseReceipt, type Receipt } from '@reembed/protocol'
import { describe, expect, test } from 'vitest'

const receipt: Receipt = {
  format: 1,
  run: 'r',
  shard: 3,
  shards: 4,
  spaceId: 's',
  recipeId: 'c',
  model: { id: 'm', revision: null, dimensions: 8, pooling: 'cls', normalized: true },
  source: [{ key: 'a.jsonl', etag: 'e', start: 0, end: 10, lines: 2 }],
  documents: 2,
  rows: 1,
  rejects: [{ reason: 'empty_text', message: 'has no text', position: { part: 0, offset: 5 } }],
  tokens: null,
  truncated: 0,
  repaired: 0,
  bodySha256: '0'.repeat(64),
}

describe('parseReceipt', () => {
  test('accepts a receipt after JSON and unknown fields of later versions', () => {
    const read = { ...JSON.parse(JSON.stringify(receipt)), later: true }
    expect(parseReceipt(read, 'x')).toEqual(read)
  })

  test.each<[string, unknown]>([
    ['format', { ...receipt, format: 2 }],
    ['shard', { ...receipt, shard: -1 }],
    ['rows', { ...receipt, rows: '1' }],
    ['tokens', { ...receipt, tokens: undefined }],
    ['bodySha256', { ...receipt, bodySha256: 'abc' }],
    ['model', { ...receipt, model: null }],
    ['model.dimensions', { ...receipt, model: { ...receipt.model, dimensions: 0 } }],
    ['source', { ...receipt, source: {} }],
    ['source[0].end', { ...receipt, source: [{ ...receipt.source[0], end: 1.5 }] }],
    [
      'rejects[0].position.offset',
      { ...receipt, rejects: [{ ...receipt.rejects[0], position: { part: 0 } }] },
    ],
    ['the value', null],
    ['the value', 'receipt'],
  ])('names the first field that is wrong: %s', (field, value) => {
    expect(() => parseReceipt(value, 'runs/r/data/x')).toThrow(
      expect.objectContaining({
        code: 'CORRUPT',
        message: `runs/r/data/x: the receipt is damaged or was written by another version of reembed: ${field} is invalid`,
      }),
    )
  })
})
