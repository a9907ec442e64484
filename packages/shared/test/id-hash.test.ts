import { expect, test } from 'vitest'
import { createHalfSipHash, createIdHash } from '../src/id-hash.ts'

/** The published vectors of HalfSipHash-2-4 with 64 bits: key 00 01 … 07, message 00 01 02 … */
const VECTORS: readonly [number, string][] = [
  [0, '218d1f59b9b83cc8'],
  [1, 'be552412f8387315'],
  [2, '064f39ef7c50eb57'],
  [3, 'ce0f1a45f7060679'],
  [4, 'd5e78a175be52ea1'],
  [7, 'ff202728b07bc684'],
  [8, 'edfee820bce4858c'],
  [12, '7bc71f9faef5c799'],
]

test.each(VECTORS)('HalfSipHash of %i bytes is that of the reference', (length, expected) => {
  const message = Uint8Array.from({ length: 40 }, (_, i) => i - 5)
  const target = new Uint32Array(4)
  createHalfSipHash(0x03020100, 0x07060504).write(message, 5, 5 + length, target, 1)
  expect(Buffer.from(target.buffer).toString('hex')).toBe(`0000000000000000${expected}`)
})

test('an id hash depends on its key, and is the same by text and by bytes', () => {
  const id = 'dokument-ä-🦆'
  const bytes = Buffer.from(`..${id}`)
  const target = new BigUint64Array(1)
  createIdHash('a').write(bytes, 2, bytes.length, new Uint32Array(target.buffer), 0)
  expect(target[0]).toBe(createIdHash('a').of(id))
  expect(createIdHash('b').of(id)).not.toBe(target[0])
})
