// An endpoint that answers reference texts right and documents with nonsense: no run of it is
// published and verified.

import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis } from '@reembed/local'
import { readVersions } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, type Finished, reembed, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const DIMENSIONS = 8
type Vectors = Float32Array
type Engine = ReturnType<typeof createHashEngine>

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let redis: LocalRedis
beforeAll(async () => {
  folder = await temporaryFolder()
  redis = await startRedis()
})
afterAll(async () => {
  await redis[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

/** Gives each document for which `isWrong` holds the same vector, and other texts their own. */
function collapsing(isWrong: (text: string) => boolean): Engine {
  const engine = createHashEngine({ dimensions: DIMENSIONS })
  return {
    ...engine,
    async embed(batch) {
      const vectors = await engine.embed(batch)
      for (const [row, { text }] of batch.entries()) {
        if (/^document \d/.test(text) && isWrong(text)) vectors.set(constant, row * DIMENSIONS)
      }
      return vectors
    },
  }
}
const constant: Vectors = new Float32Array(DIMENSIONS).fill(Math.sqrt(1 / DIMENSIONS))

interface Ended {
  readonly output: string
  readonly ended: Finished
}

/** One shard. An endpoint that fails every request gets ten of them a second. */
async function runWith(engine: Engine, name: string, inputs: number, count: number): Promise<Ended> {
  await using tei = await serveTei({ engine, maxClientBatchSize: inputs })
  const source = await writeJsonl(join(folder.path, `${name}.jsonl`), documents(count))
  const output = join(folder.path, name)
  const args = ['--source', source, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
  return { output, ended: await reembed(['run', ...args, '--documents-per-shard', `${count}`]) }
}

// At the same time: each waits for the five attempts of its job.
test.concurrent.each([8, 32])(
  'one vector for all documents of a request is not published, in requests of %d',
  async inputs => {
    const { output, ended } = await runWith(
      collapsing(() => true),
      `all-${inputs}`,
      inputs,
      40,
    )
    expect(ended.code, ended.stderr).not.toBe(0)
    expect(ended.stderr).toMatch(
      /shard \d+: (\d+) of its \1 texts have the same vector as most others; remove texts that differ only in case or spaces, use a model of the language of the texts, or repair the model of the endpoint if neither applies/,
    )
    await using store = await openStore(output)
    expect(await Array.fromAsync(readVersions(store))).toEqual([])
  },
)

test('verify fails for a run of which a fifth of the texts have one vector, and a part of it states their number', async () => {
  const { output, ended } = await runWith(
    collapsing(text => /[05]\b/.test(text)),
    'fifth',
    32,
    120,
  )
  expect(ended.code, ended.stderr).toBe(0)
  const verified = await inProcess(['verify', '--output', output])
  expect(verified.code).toBe(4)
  expect(verified.stderr).toMatch(
    /run \w+ in \S+ is not usable: 29 of 120 texts have the vector of at least three other texts; remove texts that differ only in case or spaces, use a model of the language of the texts, or repair the model/,
  )
  const part = await inProcess(['verify', '--output', output, '--part', '1/2'])
  expect(part.code, part.stderr).toBe(0)
  expect(part.stdout).toContain('29 repeated for different texts')
})
