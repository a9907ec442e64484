// `reembed verify` against a run that somebody has tampered with: each kind of damage has a name of its own.

import { cp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { verify } from '@reembed/producer'
import { openStore } from '@reembed/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, reembed, temporaryFolder, writeJsonl } from './parts/cli.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let run: string
let good: string

beforeAll(async () => {
  folder = await temporaryFolder()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  await using redis = await startRedis()
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(40))
  good = join(folder.path, 'good')
  const args = ['--source', source, '--output', good, '--endpoint', tei.url, '--redis', redis.url]
  const { stdout } = await reembed(['run', ...args, '--documents-per-shard', '10', '--json'])
  run = JSON.parse(stdout).run
})
afterAll(() => folder[Symbol.asyncDispose]())

/** Verifies a copy of the run after `damage` was done to it. */
async function verified(damage: (paths: { data: string; shards: string[]; root: string }) => Promise<void>) {
  const root = join(folder.path, `copy-${Math.random().toString(36).slice(2)}`)
  await cp(good, root, { recursive: true })
  const data = join(root, 'runs', run, 'data')
  await damage({ root, data, shards: (await readdir(data)).sort() })
  await using store = await openStore(root)
  return verify(store, run)
}

const first = (shards: string[]): string => shards[0] ?? ''

test('P-VERIFY: a run as it was made balances, and what is printed was measured', async () => {
  const receipt = await verified(async () => {})
  expect(receipt).toMatchObject({
    run,
    totals: { documents: 40, rows: 40, rejects: 0 },
    repeated: 0,
    collapsed: [],
  })
  expect(receipt.norms?.min).toBeGreaterThan(0.999)
  expect(receipt.norms?.max).toBeLessThan(1.001)
})

test.each<[string, Parameters<typeof verified>[0], RegExp]>([
  [
    'cut short',
    ({ data, shards }) => truncate(join(data, first(shards)), 500),
    /part-00000-of-\d+\.parquet .*is cut short: it has 500 bytes/,
  ],
  [
    'changed by one bit in its body',
    ({ data, shards }) => flip(join(data, first(shards)), 200),
    /part-00000-of-\d+\.parquet .*was changed after it was written: its body/,
  ],
  [
    'changed by one bit in its footer',
    ({ data, shards }) => flip(join(data, first(shards)), -40),
    /part-00000-of-\d+\.parquet .*was changed after it was written: its footer/,
  ],
  ['missing', ({ data, shards }) => rm(join(data, first(shards))), /part-00000-of-\d+\.parquet .*is missing/],
  [
    'beside a file too many',
    ({ data }) => writeFile(join(data, 'notes.txt'), 'mine'),
    /data\/notes\.txt .*is not a shard of this run; it was left as it is/,
  ],
  [
    'another shard in its place',
    async ({ data, shards }) => {
      await rm(join(data, first(shards)))
      await cp(join(data, shards[1] ?? ''), join(data, first(shards)))
    },
    /part-00000-of-\d+\.parquet .*is of another job: its shard is 1, expected 0/,
  ],
  [
    'something else in its place',
    ({ data, shards }) =>
      writeFile(join(data, first(shards)), 'no parquet at all, but long enough to be one'),
    /part-00000-of-\d+\.parquet .*is not a Parquet file/,
  ],
  [
    'a manifest that was replaced after it was published',
    async ({ root }) => {
      const path = join(root, 'runs', run, 'manifest.json')
      const manifest = JSON.parse(await readFile(path, 'utf8'))
      await rename(path, `${path}.old`)
      await rm(`${path}.old`)
      await writeFile(path, JSON.stringify({ ...manifest, prompt: 'another' }))
    },
    /version 1 .*names another manifest of run/,
  ],
])('P-VERIFY: a shard that is %s is told so, with exit code 4', async (_what, damage, message) => {
  await expect(verified(damage)).rejects.toMatchObject({
    exitCode: 4,
    message: expect.stringMatching(message),
  })
})

test('P-VERIFY: a dimension with one value for all texts is named, by the command too', async () => {
  const engine = createHashEngine({ dimensions: 8 })
  const dead = {
    ...engine,
    async embed(batch: Parameters<typeof engine.embed>[0]) {
      const vectors = await engine.embed(batch)
      for (let at = 5; at < vectors.length; at += 8) vectors[at] = 0
      return vectors
    },
  }
  await using tei = await serveTei({ engine: dead })
  await using redis = await startRedis()
  const source = await writeJsonl(join(folder.path, 'dead.jsonl'), documents(120))
  const output = join(folder.path, 'dead')
  const args = ['--source', source, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
  await reembed(['run', ...args, '--documents-per-shard', '30'])
  const { stdout, code } = await reembed(['verify', '--output', output])
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /^note +1 of 8 dimensions have one value for all texts \(5\)\. Some models are made so/m,
  )
})

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  const place = at < 0 ? bytes.length + at : at
  bytes[place] = (bytes[place] ?? 0) ^ 1
  await rm(path)
  await writeFile(path, bytes)
}
