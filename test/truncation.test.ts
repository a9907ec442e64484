// Text that the model does not read: counted in the receipts, reported everywhere, and a reason to
// hold a run.

import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startEndpoint, startRedis } from '@reembed/local'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

let redis: LocalRedis
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let source: string

const LIMIT = 32
/** Words, which are the tokens of the hash engine. */
const lengths = Array.from({ length: 300 }, (_, i) => 4 + ((i * 7919) % 60))
const REAL = {
  truncated: lengths.filter(words => words > LIMIT).length,
  unread: lengths.reduce((sum, words) => sum + Math.max(0, words - LIMIT), 0),
  of: lengths.reduce((sum, words) => sum + words, 0),
}

beforeAll(async () => {
  ;[redis, folder] = await Promise.all([startRedis(), temporaryFolder()])
  const records = lengths.map((words, i) => ({
    id: `d${i}`,
    text: Array.from({ length: words }, (_, n) => `word${(i * 31 + n * n) % 977}`).join(' '),
  }))
  source = await writeJsonl(join(folder.path, 'corpus.jsonl'), records)
})
afterAll(async () => {
  for (const part of [redis, folder]) await part[Symbol.asyncDispose]()
})

const run = (name: string, endpoint: string, ...args: string[]) =>
  inProcess([
    'run',
    ...flags({ source, output: join(folder.path, name), endpoint, redis: redis.url }),
    '--json',
    ...args,
  ])

test('P-TRUNCATION: a server that states the tokens of each text gives exact numbers, in run, verify and status', async () => {
  await using tei = await startEndpoint({ engine: 'hash', hash: { dimensions: 8, maxInputLength: LIMIT } })
  const { code, stdout, stderr } = await run('exact', tei.url)
  expect(code, stderr).toBe(0)
  const { totals } = JSON.parse(stdout)
  const { truncated, unread: tokens, of } = REAL
  expect(totals).toMatchObject({ truncated, unread: { tokens, low: tokens, high: tokens, of } })
  const share = `${((100 * tokens) / of).toFixed(1)} %`
  const counts = `${tokens.toLocaleString('en-US')} of ${of.toLocaleString('en-US')} tokens (${share})`
  expect(stderr).toContain(
    `warning: the model did not read ${counts}. Embed them in chunks with --chunk-tokens ${LIMIT}, or use a model that reads longer texts`,
  )
  for (const command of ['verify', 'status']) {
    const shown = await inProcess([command, '--output', join(folder.path, 'exact')])
    expect(shown.stdout).toContain(
      `${truncated} texts over the limit of the model: ${counts} not in the vectors`,
    )
  }
})

test('P-TRUNCATION: for a server like TEI, the interval holds the real number, also after the vectors were reused', async () => {
  const engine = createHashEngine({ dimensions: 8, maxInputLength: LIMIT })
  await using tei = await serveTei({ engine })
  const first = JSON.parse((await run('estimated', tei.url)).stdout)
  const check = ({ truncated, unread }: typeof first.totals): void => {
    expect(unread.low).toBeLessThanOrEqual(REAL.unread)
    expect(unread.high).toBeGreaterThanOrEqual(REAL.unread)
    expect(Math.abs(unread.tokens - REAL.unread) / REAL.unread).toBeLessThan(0.1)
    expect(Math.abs(truncated - REAL.truncated) / REAL.truncated).toBeLessThan(0.1)
  }
  check(first.totals)
  const again = JSON.parse(
    (await run('estimated', tei.url, '--dtype', 'float32', '--documents-per-shard', '100')).stdout,
  )
  expect(again.totals).toMatchObject({ reused: lengths.length })
  check(again.totals)
})

test('P-TRUNCATION: --max-truncated holds a run until a higher limit publishes it', async () => {
  const engine = createHashEngine({ dimensions: 8, maxInputLength: LIMIT })
  await using tei = await serveTei({ engine, textTokens: true })
  const output = join(folder.path, 'held')
  const held = await run('held', tei.url, '--max-truncated', '1%')
  const { status, reason, run: id } = JSON.parse(held.stdout)
  expect([held.code, status]).toEqual([3, 'held'])
  const share = ((100 * REAL.unread) / REAL.of).toFixed(1)
  expect(reason).toBe(
    `the model did not read ${share} % of the text, the limit is 1%: embed long documents in chunks, or publish with a higher limit`,
  )
  const refused = await inProcess(['publish', id, '--output', output])
  expect(refused.code).toBe(3)
  const published = await inProcess(['publish', id, '--output', output, '--max-truncated', '50%'])
  expect([published.code, published.stdout]).toEqual([0, expect.stringContaining('published as version 1')])
})

test('a share that is not a percentage is refused', async () => {
  const { code, stderr } = await run('wrong', 'http://127.0.0.1:9', '--max-truncated', '5')
  expect(code).toBe(2)
  expect(stderr).toContain("'5' is invalid. Expected a share like '1%'.")
})
