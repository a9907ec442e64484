// Receipts against the plan: every mismatch has its own message.

import type { Plan, Receipt, Slice } from '@reembed/protocol'
import { expect, test } from 'vitest'
import { createAudit } from '../src/verify/audit.ts'

const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
const PLAN: Plan = {
  format: 1,
  run: 'a'.repeat(26),
  seq: 1,
  spaceId: 'space',
  recipeId: 'recipe',
  source: 'corpus',
  recipe: { model: MODEL, prompt: '', fields: { id: 'id', text: 'text' }, truncate: true, dtype: 'float32' },
  shards: 2,
  slicesPerSegment: 2,
  objects: 1,
  bytes: 200,
  estimatedDocuments: 20,
  snapshotSha256: '0'.repeat(64),
  maxRejects: '1%',
}
const slice = (start: number, end: number, key = 'a.jsonl'): Slice => ({
  parts: [{ key, etag: 'e', size: 200, format: 'jsonl', start, end }],
})
const SLICES = [slice(0, 100), slice(100, 200)] as const

const receipt = (shard: number, changes: Partial<Receipt> = {}): Receipt => ({
  format: 1,
  run: PLAN.run,
  shard,
  shards: 2,
  spaceId: 'space',
  recipeId: 'recipe',
  model: MODEL,
  source: [{ key: 'a.jsonl', etag: 'e', start: 100 * shard, end: 100 * (shard + 1), lines: 10 }],
  documents: 10,
  rows: 10,
  rejects: [],
  tokens: 50,
  truncated: 1,
  repaired: 2,
  bodySha256: '0'.repeat(64),
  ...changes,
})
const read = (start: number, end: number, changes = {}): Pick<Receipt, 'source'> => ({
  source: [{ key: 'a.jsonl', etag: 'e', start, end, lines: 10, ...changes }],
})
const reject = (line: number, part = 0): Receipt['rejects'][number] => ({
  id: `d${line}`,
  reason: 'empty_text',
  message: 'the text is empty',
  position: { part, offset: line * 10, line },
})

function audited(first: Partial<Receipt> = {}, second: Partial<Receipt> = {}) {
  const audit = createAudit(PLAN)
  const located = [
    ...audit.add(SLICES[0], receipt(0, first), 1_000),
    ...audit.add(SLICES[1], receipt(1, second), 500),
  ]
  return { ...audit.end(), located }
}

test('I2: matching receipts are summed, and a reject has its line in the whole object', () => {
  const { totals, rejectReasons, located } = audited(
    { reused: 3 },
    { rows: 9, rejects: [reject(4)], tokens: 40 },
  )
  expect(totals).toEqual({
    documents: 20,
    rows: 19,
    rejects: 1,
    reused: 3,
    tokens: 90,
    bytes: 1_500,
    truncated: 2,
    repaired: 4,
  })
  expect(rejectReasons).toEqual({ empty_text: 1 })
  expect(located).toMatchObject([{ id: 'd4', key: 'a.jsonl', offset: 40, line: 14 }])
})

test('the number of tokens is null when one shard has none', () => {
  expect(audited({ tokens: null }).totals.tokens).toBeNull()
})

test('a range in which no line begins belongs to the line before it', () => {
  expect(audited(read(0, 200), { ...read(150, 150, { lines: 0 }), documents: 0, rows: 0 }).totals.rows).toBe(
    10,
  )
})

test.each<[string, Partial<Receipt>, Partial<Receipt>, string]>([
  ['a gap', {}, read(110, 200), 'read a.jsonl from byte 110, but the shard before ended at 100'],
  ['an overlap', {}, read(90, 200), 'read a.jsonl from byte 90, but the shard before ended at 100'],
  ['an end too early', {}, read(100, 190), 'bytes 190 to 200 of a.jsonl were never read'],
  ['a beginning too late', read(10, 100), {}, 'read a.jsonl from byte 10, but the shard before ended at 0'],
  ['a part too few', { source: [] }, {}, 'has read 0 source ranges, the plan has 1'],
  [
    'a source that changed',
    read(0, 100, { etag: 'x' }),
    {},
    'was made from a.jsonl (x), the plan has a.jsonl (e)',
  ],
  [
    'another source',
    read(0, 100, { key: 'b.jsonl' }),
    {},
    'was made from b.jsonl (e), the plan has a.jsonl (e)',
  ],
  ['a document lost', { rows: 9 }, {}, '10 documents are not 9 rows + 0 rejects'],
  ['a document doubled', { rejects: [reject(1)] }, {}, '10 documents are not 10 rows + 1 rejects'],
  ['more reused rows than rows', { reused: 11 }, {}, '11 reused rows are more than its 10 rows'],
  ['a reject of no part', { rows: 9, rejects: [reject(1, 1)] }, {}, 'a reject points outside the slice'],
  ['another run', { run: 'b' }, {}, `its receipt has run b, the plan has ${PLAN.run}`],
  ['another shard', { shard: 1 }, {}, 'its receipt has shard 1, the plan has 0'],
  ['another number of shards', { shards: 3 }, {}, 'its receipt has shards 3, the plan has 2'],
  ['another recipe', { recipeId: 'x' }, {}, 'its receipt has recipeId x, the plan has recipe'],
])('I2: %s is refused with its own message', (_what, first, second, message) => {
  expect(() => audited(first, second)).toThrow(
    expect.objectContaining({ code: 'UNBALANCED', exitCode: 4, message: expect.stringContaining(message) }),
  )
})

test('I6: vectors of another space are named by both models', () => {
  const other = { spaceId: 'x', model: { ...MODEL, revision: 'r2' } }
  expect(() => audited({}, other)).toThrow(
    expect.objectContaining({
      code: 'MODEL_MISMATCH',
      message: expect.stringContaining(
        'part-00001-of-00002.parquet: holds vectors of m@r2, the plan is for m@r',
      ),
    }),
  )
})

test('I2: an audit without the last shards is refused', () => {
  const audit = createAudit({ ...PLAN, shards: 3 })
  audit.add(SLICES[0], receipt(0, { shards: 3 }), 1)
  audit.add(SLICES[1], receipt(1, { shards: 3 }), 1)
  expect(() => audit.end()).toThrow('only 2 of 3 shards were checked')
})
