// A dozen kinds of OpenAI-compatible servers, each with a poisoned text; every combination of them
// is in openai-servers-all.test.ts.

import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { runAgainst, serverKinds, writeCorpus } from './openai-runs.ts'

const stack = new AsyncDisposableStack()
let redis: LocalRedis
let root: string
let source: string

beforeAll(async () => {
  root = stack.use(await temporaryFolder()).path
  redis = stack.use(await startRedis())
  source = await writeCorpus(root)
})
afterAll(() => stack.disposeAsync())

const some = serverKinds().filter((_, i) => i % 21 === 0 || i === 255)

test.concurrent.each(some)('$name: the run ends, with 199 of 200 documents', async kind => {
  const output = join(root, `out${some.indexOf(kind)}`)
  const outcome = await runAgainst(kind, { source, output, redis: redis.url })
  expect(outcome).toMatchObject({ rows: 199, rejects: 1, wrong: 0 })
})

test.concurrent.each(['float32', 'float16'] as const)(
  'a vLLM that offers bytes sends them as %s, and each stored value is the expected one',
  async dtype => {
    const server = { vllm: 'bytes', poison: { word: 'POISON', answer: 'error' } } as const
    const output = join(root, dtype)
    const outcome = await runAgainst({ name: dtype, server }, { source, output, redis: redis.url }, dtype)
    const { encodings, ...counts } = outcome
    expect(counts).toMatchObject({ rows: 199, rejects: 1, wrong: 0 })
    // Reference texts and proofs are in float32; a probe that reads no vector asks for base64.
    expect(new Set(encodings.filter(each => each !== 'base64'))).toEqual(
      new Set(['bytes float32', `bytes ${dtype}`]),
    )
  },
)
