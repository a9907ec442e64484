// The figures of `reembed endpoint bench` against a fake whose speed is known to the millisecond.

import { openEndpoint } from '@reembed/endpoint'
import {
  type BenchmarkResult,
  type BenchmarkSetting,
  benchmarkEndpoint,
  bestResult,
  generateTexts,
} from '@reembed/planner'
import { createManualClock, type FakeTei, type FakeTeiOptions, startFakeTei } from '@reembed/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { flags } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'

const opened: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]()
})

async function fake(options: FakeTeiOptions): Promise<FakeTei> {
  const tei = await startFakeTei({ dimensions: 8, ...options })
  opened.push(tei)
  return tei
}

async function measured(
  options: FakeTeiOptions,
  setting: BenchmarkSetting,
): Promise<{ readonly got: BenchmarkResult; readonly tei: FakeTei }> {
  const clock = createManualClock()
  const tei = await fake({ clock, ...options })
  const got = await clock.advanceUntilSettled(
    (async () => {
      await using endpoint = await openEndpoint(tei.url)
      return await benchmarkEndpoint(endpoint, await generateTexts(endpoint, setting.tokens), setting, {
        seconds: 10,
        clock,
      })
    })(),
  )
  return { got, tei }
}

describe('measure', () => {
  test('one request at a time takes what the model takes, to the millisecond', async () => {
    const { got } = await measured(
      { baseMs: 10, msPerToken: 0.1 },
      { tokens: 20, textsPerRequest: 8, concurrency: 1 },
    )
    // 10 ms + 0.1 ms x 160 tokens = 26 ms a request.
    expect(got).toMatchObject({ requests: 384, texts: 3_072, seconds: 10, refused: 0, failed: 0 })
    expect(got.p50Ms).toBeCloseTo(26, 6)
    expect(got.totalTokens).toBe(384 * 160)
  })

  test('more at once than the model takes at once wait, and the wait shows in the times', async () => {
    const { got } = await measured(
      { baseMs: 100, maxBatchRequests: 4 },
      { tokens: 4, textsPerRequest: 4, concurrency: 2 },
    )
    // One request fills a batch of 100 ms; each waits for the other's and rides in the next.
    expect(got.requests).toBe(100)
    expect(got.p50Ms).toBe(200)
  })

  test('refusals are counted and do not count as work', async () => {
    const { got, tei } = await measured(
      { baseMs: 100, maxConcurrentRequests: 4 },
      { tokens: 4, textsPerRequest: 4, concurrency: 2 },
    )
    expect(got.refused).toBeGreaterThan(10)
    expect(got.requests).toBe(100)
    expect(tei.counts.requests).toBeGreaterThanOrEqual(100)
  })

  test('a slow endpoint is measured by what it ended, not by what it was given time for', async () => {
    const { got } = await measured({ baseMs: 60_000 }, { tokens: 4, textsPerRequest: 1, concurrency: 1 })
    expect(got).toMatchObject({ requests: 1, seconds: 60 })
  })

  test('an endpoint that fails ends the measurement with its failure', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock })
    await using endpoint = await openEndpoint(tei.url)
    tei.faults.allBatchesFail = true
    const setting = { tokens: 4, textsPerRequest: 1, concurrency: 1 }
    await expect(
      clock.advanceUntilSettled(benchmarkEndpoint(endpoint, ['a'], setting, { seconds: 1, clock })),
    ).rejects.toMatchObject({ code: 'ENDPOINT_UNREACHABLE' })
  })

  test('texts have the length asked for, as the server counts', async () => {
    const clock = createManualClock()
    const tei = await fake({ clock })
    await using endpoint = await openEndpoint(tei.url)
    const texts = await generateTexts(endpoint, 77)
    expect(new Set(texts).size).toBe(texts.length)
    const before = tei.counts.tokens
    await endpoint.embed(texts.slice(0, 10))
    expect(tei.counts.tokens - before).toBe(770)
  })
})

test('the best setting is as fast as the fastest and has the fewest texts in flight; refusals disqualify', () => {
  const one = (
    textsPerRequest: number,
    concurrency: number,
    texts: number,
    refused = 0,
  ): BenchmarkResult => ({
    tokens: 128,
    textsPerRequest,
    concurrency,
    seconds: 1,
    requests: 100,
    texts,
    totalTokens: null,
    refused,
    failed: 0,
    p50Ms: 1,
    p99Ms: 1,
  })
  const [slow, calm, wide, storm] = [
    one(1, 1, 100),
    one(8, 4, 980),
    one(32, 16, 1_000),
    one(32, 64, 2_000, 50),
  ]
  expect(bestResult([slow, calm, wide, storm])).toBe(calm)
  expect(bestResult([storm])).toBeUndefined()
})

describe('reembed endpoint bench', () => {
  test('prints a row for each setting, the cost, and the best', async () => {
    const tei = await fake({ baseMs: 2 })
    const args = ['endpoint', 'bench', '--endpoint', tei.url, '--tokens', '16', '--seconds', '0.2']
    const { code, stdout, stderr } = await inProcess([
      ...args,
      ...flags({ texts: '1,8', 'at-once': '1,4', 'price-per-hour': '1.00' }),
    ])
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('$/1M tokens') })
    const lines = stdout.trim().split('\n')
    expect(lines).toHaveLength(5)
    expect(lines[0]).toMatch(/^ *16 +1 +1 +[\d.]+ +[\d.]+ +[\d,]+ +[\d.]+ +[\d.]+ +0 +[\d.e-]+$/)
    expect(lines[4]).toMatch(/^best for 16 tokens: \d+ texts per request, \d+ concurrent requests/)
  })

  test('--json is one document with rates and cost', async () => {
    const tei = await fake({ baseMs: 2 })
    const { code, stdout } = await inProcess(
      ['endpoint', 'bench', '--json', '--endpoint', tei.url, '--seconds', '0.1', '--texts', '4'].concat([
        '--at-once',
        '2',
        '--price-per-hour',
        '3.6',
      ]),
    )
    expect(code).toBe(0)
    const { settings, best } = JSON.parse(stdout)
    expect(best).toMatchObject([{ tokens: 128, textsPerRequest: 4, concurrency: 2 }])
    const [{ tokensPerSecond, dollarsPerMillionTokens, textsPerSecond }] = settings
    expect(tokensPerSecond).toBeCloseTo(textsPerSecond * 128, 3)
    expect(dollarsPerMillionTokens).toBeCloseTo(1_000 / tokensPerSecond, 9)
  })

  test.each([
    [[], 'missing --endpoint'],
    [['--endpoint', 'URL', '--tokens', '9999'], 'truncates texts at 512 tokens: give at most 512'],
    [['--endpoint', 'URL', '--texts', '64'], 'give at most 32 texts per request'],
    [['--endpoint', 'URL', '--texts', '0'], 'Expected a whole number of at least 1'],
    [['--endpoint', 'URL', '--price-per-hour', 'free'], 'Expected a number above 0'],
  ])('%j is answered with one line and exit code 2', async (given, message) => {
    const tei = await fake({})
    const { code, stderr } = await inProcess([
      'endpoint',
      'bench',
      ...given.map(one => (one === 'URL' ? tei.url : one)),
    ])
    expect(stderr.trim().split('\n').at(-1)).toContain(message)
    expect(code).toBe(2)
  })
})
