// Bad inputs 1 to 16: documents. One run meets most of them, so that it is seen that none harms its
// neighbours.

import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect } from 'vitest'
import { bad, type Embedded, embedFiles, expectSaid, good, jsonl, told } from './parts.ts'
import type { BadInput } from './table.ts'

let tei: TeiServer
let redis: LocalRedis
let met: Embedded

const deep = `{"id":"deep","text":"x","a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`
/** Line by line, by the number of the bad input; `g` is a good one. */
const LINES: readonly (readonly [number | 'g', string])[] = [
  ['g', '{"id":"first","text":"the first"}'],
  [1, '{"id":"empty","text":""}'],
  [2, '{"id":"white","text":" \\t\\n\\u3000 "}'],
  [3, '{"text":"a document without an id"}'],
  [5, '{"id":true,"text":"x"}'],
  [5, '{"id":null,"text":"x"}'],
  [5, '{"id":1.5,"text":"x"}'],
  ['g', '{"id":7,"text":"a whole number is an id"}'],
  [6, `{"id":"${'x'.repeat(1025)}","text":"x"}`],
  [7, '{"id":"number","text":5}'],
  [7, '{"id":"list","text":["a"]}'],
  [8, '{"id":"half","text":"half a pair \\ud83d here"}'],
  [9, '{"id":"con\\u0000trol\\u001b[31m","text":"a\\u0000b\\u001b[31mc"}'],
  [11, `{"id":"long","text":"${'y'.repeat(9 * 2 ** 20)}"}`],
  [12, '{"id":"proto","text":"x","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'],
  [13, deep],
  [14, '{"id":1e999,"text":"x"}'],
  [14, '{"id":"infinite","text":1e999}'],
  ['g', '{"id":"last","text":"the last"}'],
]

beforeAll(async () => {
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
  const file = LINES.map(([, line]) => `${line}\n`).join('')
  met = await embedFiles({ 'a.jsonl': file }, { tei: tei.url, redis: redis.url })
})
afterAll(async () => {
  await Promise.all([tei, redis].map(part => part?.[Symbol.asyncDispose]()))
})

const linesOf = (number: number | 'g'): number[] =>
  LINES.flatMap(([one], i) => (one === number ? [i + 1] : []))

/** Each line of this input is a reject at its place, in the words of the table. */
function expectRejects(number: number, input: BadInput): void {
  const lines = linesOf(number)
  expect(lines.length).toBeGreaterThan(0)
  const offsets = lines.map(line =>
    LINES.slice(0, line - 1).reduce((sum, [, text]) => sum + Buffer.byteLength(text) + 1, 0),
  )
  const found = lines.map(line => met.rejects.find(reject => reject.line === line))
  expect(found.map(reject => reject?.offset)).toEqual(offsets)
  expectSaid(input, { code: met.code, said: found.map(told).join(' | ') })
}

for (const number of [1, 2, 3, 5, 6, 7, 11, 13, 14]) bad(number, input => expectRejects(number, input))

bad(8, input => {
  expect(met.ids).toContain('half')
  expect({ code: input.exit, repaired: met.result.totals.repaired }).toEqual({ code: 0, repaired: 1 })
})

bad(9, () => {
  expect(met.ids).toContain('con\0trol\u001b[31m')
  expect(met.stderr).not.toContain('\u001b')
})

bad(12, () => {
  expect(met.ids).toContain('proto')
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
})

bad(4, async input => {
  const files = { 'a.jsonl': jsonl(...good()), 'b.jsonl': jsonl({ id: 'good1', text: 'again' }) }
  expectSaid(input, await embedFiles(files, { tei: tei.url, redis: redis.url }))
})

bad(10, async input => {
  await using short = await startFakeTei({ dimensions: 8, maxInputLength: 16 })
  const files = { 'a.jsonl': jsonl(...good(), { id: 'long', text: 'word '.repeat(100) }) }
  const rig = { tei: short.url, redis: redis.url }
  const refused = await embedFiles(files, { ...rig, args: ['--no-truncate'] })
  expect(refused.ids).toEqual(good().map(({ id }) => id))
  expectSaid(input, { code: refused.code, said: told(refused.rejects[0]) })
  expect(await embedFiles(files, rig)).toMatchObject({ code: 0, result: { totals: { rows: 4 } } })
})

bad(15, async input => {
  await using fragile = await startFakeTei({
    dimensions: 8,
    faults: { tokenizer: text => text.includes('killer') },
  })
  const files = {
    'a.jsonl': jsonl(...good(20), { id: 'k', text: 'a killer' }, { id: 'after', text: 'fine' }),
  }
  const refused = await embedFiles(files, { tei: fragile.url, redis: redis.url })
  expect([refused.ids.length, refused.rejects[0]?.id]).toEqual([21, 'k'])
  expectSaid(input, { code: refused.code, said: told(refused.rejects[0]) })
})

bad(16, async input => {
  await using narrow = await startFakeTei({ dimensions: 8, payloadLimit: 100_000, maxInputLength: 8_192 })
  const long = Array.from({ length: 40 }, (_, i) => ({ id: `${i}`, text: `${i} word `.repeat(2_000) }))
  const whole = await embedFiles({ 'a.jsonl': jsonl(...long) }, { tei: narrow.url, redis: redis.url })
  expect(whole).toMatchObject({ code: input.exit, result: { totals: { rows: 40, rejects: 0 } } })
})
