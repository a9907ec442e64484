import { expect, test } from 'vitest'
import { openaiInfo } from '../src/client/info.ts'
import { createRequestSizes } from '../src/request-sizes.ts'

const info = { ...openaiInfo('m'), dimensions: 8, normalized: true }

/** Sends requests as large as allowed to a server that refuses more than `most` tokens. */
function search(most: number, asked: number): { refusals: number; limit: number } {
  const sizes = createRequestSizes()
  let refusals = 0
  for (let i = 0; i < 100; i++) {
    const tokens = Math.min(asked, sizes.limits(info).tokens)
    if (tokens <= most) {
      sizes.acceptedTokens(tokens)
      continue
    }
    refusals += 1
    // A refused request is halved until its parts are answered; the innermost is recorded first.
    let part = tokens
    while (part / 2 > most) part /= 2
    sizes.acceptedTokens(part / 2)
    for (; part <= tokens; part *= 2) sizes.refusedTokens(part)
  }
  return { refusals, limit: sizes.limits(info).tokens }
}

test.each([100, 900, 2_000, 7_000, 16_000])(
  'a limit of %d tokens a request is found with few refusals, to a quarter',
  most => {
    const { refusals, limit } = search(most, 20_000)
    expect(refusals).toBeLessThan(6)
    expect(limit).toBeLessThanOrEqual(most)
    expect(limit).toBeGreaterThan(most / 1.3)
  },
)

test('a refusal of a size that was accepted before teaches nothing', () => {
  const sizes = createRequestSizes()
  sizes.acceptedTokens(5_000)
  sizes.refusedTokens(4_000)
  expect(sizes.limits(info).tokens).toBe(Number.POSITIVE_INFINITY)
})

test('one odd refusal does not slow a worker for its life', () => {
  const sizes = createRequestSizes()
  for (const refuse of [
    () => sizes.refusedTokens(1_000),
    () => sizes.refusedInputs(2),
    () => sizes.refusedBytes(100_000),
  ])
    refuse()
  expect(sizes.limits(info)).toMatchObject({ inputs: 2, tokens: 500, bytes: 65_536 })
  for (let i = 0; i < 6_000; i++) sizes.acceptedTokens(500)
  const { inputs, tokens, bytes } = sizes.limits(info)
  expect(inputs).toBe(32)
  expect(tokens).toBeGreaterThan(10_000)
  expect(bytes).toBe(1_600_000)
})

test('a limit that is real costs a refusal more and more rarely', () => {
  const sizes = createRequestSizes()
  const refusals: number[] = []
  for (let i = 0; i < 100_000; i++) {
    const { tokens } = sizes.limits(info)
    if (tokens <= 900) sizes.acceptedTokens(tokens)
    else {
      refusals.push(i)
      sizes.refusedTokens(Math.min(tokens, 5_000))
    }
  }
  const isLate = (i: number): boolean => i >= 50_000
  expect(refusals.filter(i => !isLate(i)).length).toBeLessThan(20)
  expect(refusals.filter(isLate).length).toBeLessThan(8)
})

test('a refusal of bytes halves the request once, however many requests were in flight', () => {
  const sizes = createRequestSizes()
  for (let i = 0; i < 10; i++) sizes.refusedBytes(1_000_000)
  expect(sizes.limits(info).bytes).toBe(500_000)
})
