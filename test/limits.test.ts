// --max-tokens and --max-cost with real parts: a run stops within its budget, also when Redis is
// emptied, and continues with a higher one.

import { join } from 'node:path'
import { type Endpoint, openEndpoint } from '@reembed/endpoint'
import { type LocalRedis, startRedis } from '@reembed/local'
import type { Plan } from '@reembed/protocol'
import { openBudget } from '@reembed/queue'
import { readReceipt } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { createJobBudgets } from '@reembed/worker'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const COUNT = 4000
/** Tokens of a document here, and of a request that is full of them. */
const DOCUMENT_TOKENS = 6
const REQUEST_TOKENS = 31 * DOCUMENT_TOKENS

let tei: FakeTei
let redis: LocalRedis
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let output: string
let common: string[]

beforeEach(async () => {
  folder = await temporaryFolder()
  ;[tei, redis] = await Promise.all([startFakeTei({ dimensions: 8, sha: 'one', baseMs: 5 }), startRedis()])
  output = join(folder.path, 'vectors')
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(COUNT))
  common = ['--source', source, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
})
afterEach(async () => {
  for (const part of [tei, redis, folder]) await part[Symbol.asyncDispose]()
})

/** Tokens of all documents that were sent, whether the requests succeeded or not. */
function countSent(): { tokens: number; requests: number } {
  const sent = { tokens: 0, requests: 0 }
  tei.faults.request = ({ inputs }) => {
    const texts = inputs.filter(text => String(text).startsWith('document '))
    sent.tokens += DOCUMENT_TOKENS * texts.length
    if (texts.length > 0) sent.requests += 1
    return undefined
  }
  return sent
}

/** Tokens in the receipts of the existing shards. */
async function tokensKept(): Promise<number> {
  await using store = await openStore(output)
  let tokens = 0
  for await (const { key } of store.list('runs/')) {
    if (key.includes('/data/')) tokens += (await readReceipt(store, key)).receipt.tokens ?? 0
  }
  return tokens
}

test('P-LIMITS: two workers exceed --max-tokens by at most one request each, and a higher limit continues the run', async () => {
  const enqueued = await inProcess([
    'enqueue',
    ...common,
    '--max-tokens',
    '15000',
    '--documents-per-shard',
    '250',
    '--json',
  ])
  expect(enqueued.code, enqueued.stderr).toBe(0)
  const sent = countSent()
  const { run } = JSON.parse(enqueued.stdout)
  const worker = ['worker', '--output', output, '--endpoint', tei.url, '--redis', redis.url]
  const workers = [start(worker), start(worker)]
  await Promise.race(workers.map(one => one.line(/budget/)))
  // The limit is a state record in the store: it applies to every later worker.
  const status = async () => (await inProcess(['status', '--output', output])).stdout
  expect(await status()).toMatch(/paused: 1\d,\d{3} of at most 15,000 tokens are used or reserved/)
  for (const { child } of workers) child.kill('SIGTERM')
  await Promise.all(workers.map(one => one.finished))
  expect(sent.tokens).toBeLessThan(15_000 + 2 * REQUEST_TOKENS)
  // Most paid work is kept. The share depends on the number of jobs in progress at the end.
  expect(await tokensKept()).toBeGreaterThan(0.5 * 15_000)

  const refused = await inProcess(['resume', run, '--output', output])
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringMatching(/raise the budget to resume it \(--max-cost, --max-tokens\)\n$/),
  ])
  const same = await inProcess(['run', ...common, '--max-tokens', '15000', '--documents-per-shard', '250'])
  expect([same.code, same.stderr]).toEqual([
    1,
    expect.stringMatching(/15,000 tokens.*raise the budget to continue \(--max-cost, --max-tokens\)/),
  ])
  const higher = await inProcess([
    'run',
    ...common,
    '--max-tokens',
    '90000',
    '--documents-per-shard',
    '250',
    '--json',
  ])
  expect(higher.code, higher.stderr).toBe(0)
  expect(JSON.parse(higher.stdout)).toMatchObject({ run, status: 'published', totals: { rows: COUNT } })
})

test('P-LIMITS: a run stays within its limit when Redis is emptied repeatedly', async () => {
  const client = new Redis(redis.url)
  const sent = countSent()
  const count = tei.faults.request
  tei.faults.request = arrived => {
    if (arrived.number % 20 === 0) void client.flushall()
    return count?.(arrived)
  }
  const ran = await inProcess(['run', ...common, '--max-tokens', '20000', '--documents-per-shard', '250'])
  await client.quit()
  expect([ran.code, ran.stderr]).toEqual([
    1,
    expect.stringMatching(/run \w+ is paused: \d+,\d{3} of at most 20,000 tokens/),
  ])
  expect(sent.requests).toBeGreaterThan(40)
  expect(sent.tokens).toBeLessThan(20_000 + REQUEST_TOKENS)
}, 180_000)

test('P-LIMITS: --max-cost needs a price and stops the run at that cost of endpoint time', async () => {
  const unpriced = await inProcess(['run', ...common, '--max-cost', '1'])
  expect([unpriced.code, unpriced.stderr]).toEqual([
    2,
    'reembed: a maximum cost of $1 needs a price: state what one replica of the endpoint costs per hour (--price-per-hour)\n',
  ])
  // A dollar a second; each request takes a tenth of one.
  await tei.stop()
  await tei.start({ baseMs: 100 })
  const priced = [
    ...flags({ 'price-per-hour': '1800', replicas: '2', 'max-cost': '3', 'documents-per-shard': '125' }),
  ]
  const ran = await inProcess(['run', ...common, ...priced])
  expect([ran.code, ran.stderr]).toEqual([
    1,
    expect.stringMatching(/is paused: it used its endpoint for \d+ s of at most 3 s/),
  ])
  // The second run needs no slow endpoint.
  await tei.stop()
  await tei.start({ baseMs: 5 })
  const more = await inProcess(['run', ...common, ...priced.with(5, '3000'), '--json'])
  expect(more.code, more.stderr).toBe(0)
  const { actualCost, quote } = JSON.parse(more.stdout)
  expect(quote.price).toEqual({ perHour: 1800, replicas: 2 })
  expect(actualCost.dollars).toBeCloseTo(actualCost.endpointSeconds, 5)
})

test('P-LIMITS: two workers with four jobs each send at most one request each after --max-cost is reached', async () => {
  await using store = await openStore(output, { create: true })
  await using endpoint = await openEndpoint(tei.url)
  // All that a budget reads of a plan: there is room enough for tokens, so that time alone stops
  // it.
  const plan = { run: 'limited', shards: 8, quote: { tokens: 1_000_000 } } as Plan
  const sent = { all: 0, late: 0 }

  /**
   * One worker: its jobs ask for room and send, one request after another, until they are stopped.
   */
  async function workUntilStopped(name: string): Promise<void> {
    let told = false
    const ledger = openBudget(redis.url)
    const { reserve } = ledger
    ledger.reserve = async entry => {
      const answer = await reserve(entry)
      told ||= answer.epoch === entry.epoch && !answer.granted
      return answer
    }
    await using budgets = createJobBudgets(() => ledger, name)
    const counted: Endpoint = Object.assign(Object.create(endpoint), {
      request: (...args: Parameters<Endpoint['request']>) => {
        sent.all += 1
        if (told) sent.late += 1
        return endpoint.request(...args)
      },
    })
    const job = async (): Promise<void> => {
      await using budget = await budgets.reserve({ store, plan }, { maxEndpointSeconds: 0.3 })
      const { request } = budget.metered(counted)
      for (let i = 0; i < 1_000; i += 1)
        await request(['document'], new Float32Array(endpoint.info.dimensions))
    }
    const ends = await Promise.allSettled(Array.from({ length: 4 }, job))
    for (const end of ends) {
      const error = end.status === 'rejected' ? end.reason : undefined
      expect(error).toBeInstanceOf(ReembedError)
      expect(error).toMatchObject({ code: 'RUN_STOPPED' })
    }
  }

  await Promise.all(['one', 'two'].map(workUntilStopped))
  expect(sent.all).toBeGreaterThan(8)
  // Those that were granted before the refusal may be sent right after it.
  expect(sent.late).toBeLessThanOrEqual(2)
})
