// Inputs that are larger than memory, in smaller sizes. `npm run caps` uses the full ones.

import { expect, test } from 'vitest'
import { CASES } from './bounds/cases.ts'
import { bounded } from './bounds/main.ts'

test.each(CASES.map(one => [one.what, one] as const))(
  'P-BOUNDED: memory stays within its bound for a smaller form of: %s',
  async (_, one) => {
    const { outcome, peakMiB } = await bounded(one.name, one.short)
    expect(outcome).toMatch(one.outcome)
    expect(peakMiB).toBeLessThanOrEqual(one.most)
  },
)
