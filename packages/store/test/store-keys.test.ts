import fc from 'fast-check'
import { expect, test } from 'vitest'

import { compareKeys } from '../src/keys.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

test('compareKeys orders keys by their UTF-8 bytes', () => {
  const unit = fc.constantFrom('a', '/', '.', '\u007f', 'é', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}')
  const key = fc.string({ unit, maxLength: 6 })
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(Math.sign(compareKeys(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))))
    }),
    { numRuns: 20_000 },
  )
})
