// Conditional writes of many processes at once, on both kinds of store.

import { expect, test } from 'vitest'
import { raceForKeys } from './chaos/keys.ts'

test.each(['folder', 's3'] as const)(
  'I1: exactly one process creates a key in %s when many put it at the same time',
  async store => {
    const { broken, rounds } = await raceForKeys({ store, processes: 4, rounds: 50 })
    expect(broken).toEqual([])
    expect(rounds).toBe(50)
  },
)
