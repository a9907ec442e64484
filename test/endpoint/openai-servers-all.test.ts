// Every combination of what OpenAI-compatible servers refuse. A dozen of them are in
// openai-servers.test.ts.

import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { mapConcurrent } from '@reembed/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { runAgainst, type ServerKind, serverKinds, writeCorpus } from './openai-runs.ts'

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

/** Nearly all time is waiting: for retries of the poisoned text. */
const AT_ONCE = 16

test('a run against each of 256 kinds of OpenAI-compatible servers ends, with 199 of 200 documents', async () => {
  const kinds = serverKinds()
  const failures: string[] = []
  const run = async (kind: ServerKind): Promise<void> => {
    const output = join(root, `out${kinds.indexOf(kind)}`)
    try {
      const { rows, rejects, wrong } = await runAgainst(kind, { source, output, redis: redis.url })
      if (rows !== 199 || rejects !== 1 || wrong !== 0)
        failures.push(`${kind.name}: ${rows} rows, ${rejects} rejects, ${wrong} wrong`)
    } catch (error) {
      failures.push(`${kind.name}: ${String(error)}`)
    }
  }
  for await (const _ of mapConcurrent(kinds, run, { concurrency: AT_ONCE }));
  expect(kinds).toHaveLength(256)
  expect(failures).toEqual([])
}, 1_200_000)
