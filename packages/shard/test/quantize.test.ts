// Golden values: numpy computed them once, by the lines of `quantize_embeddings`
// (sentence-transformers, util/quantization.py) on numpy.random.default_rng(7): 5 x 16 vectors,
// ranges of 200 others twice as long.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rangesOf, requireWholeBytes, toInt8, toUbinary } from '../src/quantize.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const bytes = (base64: string): ArrayBuffer => Uint8Array.from(Buffer.from(base64, 'base64')).buffer
const VECTORS = new Float32Array(
  bytes(
    'GT2hOi31mD7MW4y+1P1jv5zK6L6M3H2/I1l2PSyMqz9+Avy+cdcev5TM+j7lubY+bePXPSczbr+Foe+8ZP8xPzkPrL+dTOq+RFvzv5MPpb/5veu/u7twvrA7or8p44o+W4MgPtNqP76XEiHAx+cJv+2oRr2LDug9fdvDvxSc9L46gHq/9Q9Pv4fLhz+Yuk6/ezUFvWBnYj/XZhW//sPkvQY74j0FoII9oc6cv2nvmz3t7a0/1gjGv4EAXD/ib/Q9Zzckv9MGAEB0I0M/TIKZv/ebmD3uoRM/GlBBvjXTLj88Ooi9vNAqP4IhuD80+Cy/kQNQPqc27b6nUgI+/vWXvxxNFL+Z50i+ZBVmP6KWkj9caam/r21Lv3abJT+dB/+/miTtvl4+x73e5aA/xnwwP4SIp777tby+nRmAvgMDwz8=',
  ),
)
const RANGES = new Float32Array(
  bytes(
    'LO6pwJJ3v8CDxLTA1EKCwKy7l8CPRKfAF66CwCpP6sAd6dzA/MCOwJEX0MDdNYrAukKtwM0UosBxOojA03O0wK0MtUCs1J5AJfKsQBt7yUDlDrVAvoqrQKhAp0CFw7RAHUWPQN0FrUDlv6dAi2ykQDmWpEBzP79ADGHMQLvPkUA=',
  ),
)
const INT8 = new Int8Array(
  bytes(
    '/BL8z+rn8ioP5Bf/BeDmHt0A18XI+c4VHu/X5gH4wgHl+RrR9BPgDR318/cj0vsQ7TkTx/cL6x0ZBCzjB+vq8O4GFwDU6wHpEPEoB/vt4DM=',
  ),
)
const UBINARY = new Uint8Array(bytes('wzkBhCTbbWoyMQ=='))

const ranges = { min: RANGES.subarray(0, 16), max: RANGES.subarray(16) }

describe('quantisation', () => {
  test('equals that of sentence-transformers, bit for bit', () => {
    expect(toInt8(VECTORS, ranges)).toEqual(INT8)
    expect(toUbinary(VECTORS)).toEqual(UBINARY)
  })

  test('clips values outside the ranges, which the library wraps around', () => {
    const range = { min: Float32Array.of(0), max: Float32Array.of(255) }
    expect([...toInt8(Float32Array.of(-9, 0, 128.9, 255, 300), range)]).toEqual([-128, -128, 0, 127, 127])
  })

  test('maps a dimension with equal values to -128', () => {
    expect([...toInt8(Float32Array.of(3, 3), { min: Float32Array.of(3), max: Float32Array.of(3) })]).toEqual([
      -128, -128,
    ])
  })

  test('keeps the order of values and uses the whole range', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 2, maxLength: 50 }),
        async values => {
          const vectors = Float32Array.from(values).sort()
          const found = await rangesOf([vectors.subarray(0, 1), vectors.subarray(1)], 1)
          expect([found.min[0], found.max[0]]).toEqual([vectors[0], vectors.at(-1)])
          const levels = [...toInt8(vectors, found)]
          expect(levels).toEqual(levels.toSorted((a, b) => a - b))
          expect(levels[0]).toBe(-128)
          // The step is rounded, so the greatest value may get the level below the highest.
          const spread = (vectors.at(-1) ?? 0) - (vectors[0] ?? 0)
          if (spread > 1e-30) expect(levels.at(-1)).toBeGreaterThanOrEqual(126)
        },
      ),
    )
  })

  test('to bits requires whole bytes', () => {
    expect(() => requireWholeBytes(768)).not.toThrow()
    expect(() => requireWholeBytes(100)).toThrow('100 is not a multiple of 8: embed with 96 dimensions')
  })
})
