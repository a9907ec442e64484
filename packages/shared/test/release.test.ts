import { expect, test } from 'vitest'
import { release } from '../src/release.ts'

test('a whole buffer is freed, and a part of a larger one is kept', () => {
  const [whole, larger] = [new Float32Array(100), new Uint8Array(100)]
  release(whole)
  release(larger.subarray(10, 20))
  expect(whole.buffer.byteLength).toBe(0)
  expect(whole).toHaveLength(0)
  expect(larger).toHaveLength(100)
})
