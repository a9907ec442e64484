// Every line of the table of limits: at it and beyond it in a process of its own, or the cases that
// are far beyond it. The long form of caps.test.ts.

import { LIMITS, type Limits } from '@reembed/shared'
import { expect, test } from 'vitest'
import { CAPS } from './bounds/caps.ts'
import { CASES } from './bounds/cases.ts'
import { bounded, triedCap, wrongOf } from './bounds/main.ts'

const names = Object.keys(LIMITS) as (keyof Limits)[]

test.each(names)('P-BOUNDED: the limit %s answers as it must, at it and beyond it', async name => {
  const cap = CAPS[name]
  if ('run' in cap) expect(wrongOf(name, await triedCap(name))).toBe('')
  else {
    for (const one of CASES.filter(each => cap.cases.includes(each.name))) {
      const { outcome, peakMiB } = await bounded(one.name, one.short)
      expect(outcome).toMatch(one.outcome)
      expect(peakMiB).toBeLessThanOrEqual(one.most)
    }
  }
})
