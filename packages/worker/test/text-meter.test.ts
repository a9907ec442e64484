// What the model does not read of a text: counted where the server states it, else estimated.

import { describe, expect, test } from 'vitest'
import { createTextMeter, truncationOf } from '../src/embed/text-meter.ts'

const LIMIT = 100
/** Tokens that frame each text, which the density does not know of. */
const FRAME = 2
const DENSITY = { charactersPerToken: 4, deviation: 0.2 }

/** Texts of a known number of characters per token, and what a server states that reads LIMIT. */
function requestOf(densities: readonly number[], tokens: readonly number[]) {
  const texts = tokens.map((count, i) => {
    const characters = Math.round((count - FRAME) * (densities[i] ?? 4))
    return { characters, sent: characters }
  })
  const read = tokens.reduce((sum, count) => sum + Math.min(LIMIT, count), 0)
  return { texts, stated: { read, canaryCharacters: 0 } }
}

describe('a server that states the tokens of each text', () => {
  test('gives exact numbers, and the part that the worker did not send is extrapolated', () => {
    const meter = createTextMeter(LIMIT)
    const texts = [
      { characters: 400, sent: 400 },
      { characters: 9_000, sent: 4_500 },
    ]
    const measured = meter.measure(texts, { read: 200, whole: [101, 1_000], canaryCharacters: 20 })
    expect(truncationOf(measured, LIMIT)).toEqual({
      truncated: 2,
      unread: { tokens: 1 + 1_900, low: 1 + 1_900, high: 1 + 1_900, of: 2_101 },
    })
  })
})

describe('a server that states the tokens of a request', () => {
  test('shows that no text was cut if the sum is below the limit', () => {
    const meter = createTextMeter(LIMIT, { charactersPerToken: 2, deviation: 0.2 })
    // By the density so far, the first text has 176 tokens.
    const { texts, stated } = requestOf([4, 4], [90, 5])
    expect(truncationOf(meter.measure(texts, stated), LIMIT)).toMatchObject({
      truncated: 0,
      unread: { tokens: 0, low: 0, high: 0 },
    })
  })

  test('shows that each text was cut if each has the limit', () => {
    const meter = createTextMeter(LIMIT, { charactersPerToken: 8, deviation: 0.01 })
    // By the density so far, none has more than 84 tokens.
    const { texts, stated } = requestOf([4, 4, 4], [150, 160, 170])
    expect(truncationOf(meter.measure(texts, stated), LIMIT).truncated).toBe(3)
  })

  test('shows that a long text beside a short one was cut, whatever the tokens of the canary', () => {
    for (const canaryTokens of [1, 5, 15]) {
      const meter = createTextMeter(LIMIT, { charactersPerToken: 6, deviation: 0.05 })
      const texts = [
        { characters: 1_200, sent: 1_200 },
        { characters: 13, sent: 13 },
      ]
      const measured = meter.measure(texts, { read: LIMIT + 3 + canaryTokens, canaryCharacters: 20 })
      expect(truncationOf(measured, LIMIT).truncated).toBe(1)
    }
  })

  test('gives an interval that holds the real number, also for texts of another density than before', () => {
    let state = 7
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state / 2 ** 32
    }
    let held = 0
    const TRIALS = 200
    for (let trial = 0; trial < TRIALS; trial++) {
      const mean = 2.5 + 3 * random()
      const meter = createTextMeter(LIMIT, { charactersPerToken: mean, deviation: 0.2 })
      let [real, truncation] = [0, { tokens: 0, low: 0, high: 0 }]
      for (let request = 0; request < 20; request++) {
        const tokens = Array.from({ length: 16 }, () => Math.ceil(random() ** 2 * 600) + FRAME)
        const densities = tokens.map(() => mean * (0.8 + 0.4 * random()))
        const { texts, stated } = requestOf(densities, tokens)
        real += tokens.reduce((sum, count) => sum + Math.max(0, count - LIMIT), 0)
        const { unread } = truncationOf(meter.measure(texts, stated), LIMIT)
        truncation = {
          tokens: truncation.tokens + unread.tokens,
          low: truncation.low + unread.low,
          high: truncation.high + unread.high,
        }
      }
      if (truncation.low <= real && real <= truncation.high) held += 1
      // Near enough to decide on: within a tenth.
      expect(Math.abs(truncation.tokens - real) / real).toBeLessThan(0.1)
    }
    expect(held / TRIALS).toBeGreaterThanOrEqual(0.95)
  })
})

test('without any count, the density of the plan is used', () => {
  const meter = createTextMeter(LIMIT, DENSITY)
  const [text] = meter.measure([{ characters: 1_000, sent: 1_000 }], { read: null, canaryCharacters: 20 })
  expect(text?.tokens).toBe(250)
  expect(text?.low).toBeLessThan(200)
  expect(text?.high).toBeGreaterThan(350)
})

test('a model that cuts no text leaves nothing unread', () => {
  const meter = createTextMeter(Number.POSITIVE_INFINITY, DENSITY)
  const { texts, stated } = requestOf([4, 4], [5_000, 90])
  expect(truncationOf(meter.measure(texts, { ...stated, read: 5_090 }), meter.limit)).toEqual({
    truncated: 0,
    unread: { tokens: 0, low: 0, high: 0, of: 5_090 },
  })
})
