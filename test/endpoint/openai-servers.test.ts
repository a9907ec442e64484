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
