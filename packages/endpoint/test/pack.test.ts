import { describe, expect, test } from 'vitest'
import type { EndpointInfo } from '../src/client/info.ts'
import { createTokenEstimator, pack, type RequestLimits, requestLimits } from '../src/pack.ts'

const INFO: EndpointInfo = {
  kind: 'tei',
  modelId: 'm',
  revision: null,
  pooling: 'mean',
  dimensions: 8,
  normalized: true,
  maxClientBatchSize: 32,
  maxConcurrentRequests: 512,
  maxInputLength: 512,
  maxBatchTokens: 16_384,
  maxBatchRequests: null,
  maxRequestTokens: null,
  autoTruncate: true,
  version: null,
  payloadLimit: 2_000_000,
}

describe('pack', () => {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

  test.each<RequestLimits>([
    { inputs: 32, tokens: 8_192, bytes: 1_600_000 },
    { inputs: 1, tokens: Infinity, bytes: Infinity },
    { inputs: 7, tokens: 300, bytes: Infinity },
    { inputs: 1_000, tokens: Infinity, bytes: 900 },
  ])('each text once, no request over %o unless it is one text, longest first', limits => {
    const texts = Array.from({ length: 500 }, (_, i) => ({
      tokens: (i * 7919) % 512,
      bytes: (i * 104729) % 2_000,
    }))
    const requests = pack(texts, limits)
    expect(requests.flat().sort((a, b) => a - b)).toEqual(texts.map((_, i) => i))
    for (const request of requests) {
      const held = request.map(i => texts[i] ?? { tokens: NaN, bytes: NaN })
      const fits =
        request.length <= limits.inputs &&
        sum(held.map(({ tokens }) => tokens)) <= limits.tokens &&
        sum(held.map(({ bytes }) => bytes)) <= limits.bytes
      expect(fits || request.length === 1).toBe(true)
    }
    const tokens = requests.flat().map(i => texts[i]?.tokens ?? 0)
    expect(tokens).toEqual(tokens.toSorted((a, b) => b - a))
  })

  test('nothing to send is no request', () => expect(pack([], requestLimits(INFO))).toEqual([]))

  test('a request is a fraction of what the server takes, so that several are under way', () => {
    expect(requestLimits(INFO)).toEqual({ inputs: 32, tokens: 8_192, bytes: 1_600_000 })
    expect(requestLimits({ ...INFO, maxConcurrentRequests: 16 }).inputs).toBe(4)
    expect(requestLimits({ ...INFO, maxConcurrentRequests: 1 }).inputs).toBe(1)
    expect(requestLimits({ ...INFO, maxClientBatchSize: 8 }).inputs).toBe(8)
    expect(requestLimits({ ...INFO, maxBatchTokens: null }).tokens).toBe(Infinity)
  })
})

describe('createTokenMeter', () => {
  test('learns how many characters a token has from what the server counts', () => {
    const meter = createTokenEstimator(512)
    const before = meter.estimate(1_200)
    for (let i = 0; i < 50; i++) meter.learn(32, 32 * 600, 32 * 100)
    expect(before).toBe(402)
    expect(meter.estimate(1_200)).toBeLessThan(210)
    expect(meter.estimate(1_200)).toBeGreaterThan(198)
  })

  test('a text counts for no more than the model takes, and teaches nothing when it was cut', () => {
    const meter = createTokenEstimator(512)
    expect(meter.estimate(1_000_000)).toBe(512)
    meter.learn(2, 1_000_000, 1_024)
    expect(meter.estimate(1_200)).toBe(402)
  })
})
