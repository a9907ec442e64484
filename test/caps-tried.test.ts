// Each limit at it and beyond it, in a process of its own: the long form of caps.test.ts.

import { LIMITS, type Limits } from '@reembed/shared'
import { expect, test } from 'vitest'
import { CAPS } from './bounds/caps.ts'
import { triedCap, wrongOf } from './bounds/main.ts'

const names = (Object.keys(LIMITS) as (keyof Limits)[]).filter(name => 'run' in CAPS[name])

test.each(names)('P-BOUNDED: the limit %s answers as it must, at it and beyond it', async name => {
  expect(wrongOf(name, await triedCap(name))).toBe('')
})
