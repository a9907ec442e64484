// Files that are longer than the model reads, where neither a model folder nor the Hub has the
// tokenizer: chunks are cut by what texts cost at the endpoint's /tokenize, by the planner and by
// each worker alike.

import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis } from '@reembed/local'
import { openCorpus, type PlanNotice, planCorpus } from '@reembed/planner'
import { openStore } from '@reembed/store'
import { startFakeHf } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'
import { writeFormats, writtenDocuments } from './source/writers.ts'

/** The hash engine has a token for each word. */
const LIMIT = 64
const SECTIONS = 20
const WORDS = 40

const stack = new AsyncDisposableStack()
let redis: LocalRedis
let folder: string
beforeAll(async () => {
  redis = stack.use(await startRedis())
  folder = stack.use(await temporaryFolder()).path
})
afterAll(() => stack.disposeAsync())

/** A tokenizer that a Hub has: every word is one token. */
const TOKENIZER = JSON.stringify({
  version: '1.0',
  model: { type: 'WordLevel', vocab: { '[UNK]': 0 }, unk_token: '[UNK]' },
  pre_tokenizer: { type: 'Whitespace' },
})

const page = (name: string): string =>
  Array.from({ length: SECTIONS }, (_, n) => {
    const words = Array.from({ length: WORDS }, (_, i) => `${name}word${(n * 31 + i * i) % 97}`)
    return `## Section ${n}\n\n${words.join(' ')}.`
  }).join('\n\n')

test('19: nothing of long files is lost, and the next version is cut by the same costs', async () => {
  // A Hub without any model.
  await using hub = await startFakeHf({ token: 'none' })
  const engine = createHashEngine({ dimensions: 16, maxInputLength: LIMIT })
  await using tei = await serveTei({ engine, textTokens: true })
  const source = join(folder, 'docs')
  const output = join(folder, 'vectors')
  await mkdir(source)
  for (const name of ['owl', 'fox', 'elk']) await writeFile(join(source, `${name}.md`), page(name))
  const call = async (at = hub.apiUrl) => {
    const args = ['--source', source, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
    const { code, stdout, stderr } = await inProcess(['run', ...args, '--json'], { HF_ENDPOINT: at })
    expect(code, stderr).toBe(0)
    return { stderr, ...JSON.parse(stdout) }
  }

  const first = await call()
  expect(first.stderr).toMatch(
    /the model's tokenizer was not found \(The Hub at .* refuses access to the tokenizer of model .*\), so chunks are cut by what texts cost/,
  )
  expect(first.totals).toMatchObject({ rejects: 0, truncated: 0, sourceDocuments: 3 })
  expect(first.totals.rows).toBeGreaterThan((3 * SECTIONS * WORDS) / LIMIT)
  expect(first.totals.rows).toBeLessThan((6 * SECTIONS * WORDS) / LIMIT)

  // Other words would be measured now, but unchanged files keep their chunks and their vectors.
  await writeFile(join(source, 'bat.md'), page('bat'))
  const second = await call()
  expect(second.stderr).not.toContain('tokenizer was not found')
  expect(second.totals).toMatchObject({ truncated: 0, sourceDocuments: 4, reused: first.totals.rows })
  expect(second.stderr).toMatch(/note: chunks are cut by the token costs that an earlier run measured/)

  // Also where the Hub has the tokenizer by then: it would cut every document in another way.
  await using full = createServer((_, response) => response.end(TOKENIZER)).listen(0, '127.0.0.1')
  await once(full, 'listening')
  await writeFile(join(source, 'hen.md'), page('hen'))
  const third = await call(`http://127.0.0.1:${(full.address() as AddressInfo).port}`)
  expect(third.stderr).toMatch(/that an earlier run measured/)
  expect(third.totals).toMatchObject({ sourceDocuments: 5, reused: second.totals.rows })
  expect((await readdir(join(output, 'tokenizers'))).sort()).toEqual([
    expect.stringMatching(/json$/),
    'measured',
  ])
})

test('19: records of every format are measured as they are', async () => {
  await using hub = await startFakeHf({ token: 'none' })
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 16, maxInputLength: LIMIT }) })
  const files = await writeFormats(writtenDocuments(100))
  const kinds = new Map(Array.from(files, ([name, bytes]) => [extname(name), { name, bytes }]))
  for (const { name, bytes } of kinds.values()) {
    const source = join(folder, name)
    await writeFile(source, bytes)
    await using corpus = await openCorpus(source)
    // A plan without an output measures the endpoint for seconds.
    await using output = await openStore(join(folder, `${name}.vectors`), { create: true })
    const notices: PlanNotice[] = []
    const { head, tokenizer } = await planCorpus(
      corpus,
      { url: tei.url, options: {} },
      { chunking: { maxTokens: 20 }, hub: { url: hub.apiUrl } },
      { output, onNotice: notice => notices.push(notice) },
    )
    expect(notices, name).toContainEqual({
      kind: 'tokens_measured',
      url: tei.url,
      reason: expect.stringContaining('tokenizer.json'),
    })
    expect(head.recipe.chunking, name).toMatchObject({ maxTokens: 20 })
    // Three words, and the factor.
    for (const words of ['the of and', 'größe naïve vector'])
      expect(tokenizer?.countTokens(words), name).toBeOneOf([3, 4])
  }
  expect(kinds.size).toBeGreaterThan(6)
})
