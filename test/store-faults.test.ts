// A whole run over an S3 that fails: one request in ten is refused, of one in twenty the reply is lost.

import { createHashEngine, hashVector, serveTei, startRedis } from '@reembed/local'
import { readShard } from '@reembed/shard'
import { shardPrefix } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { afterEach, expect, test } from 'vitest'
import { documents, reembed } from './parts/cli.ts'

const COUNT = 1_000
const DIMENSIONS = 8
let env: Readonly<Record<string, string>> = {}

afterEach(() => {
  for (const name of Object.keys(env)) delete process.env[name]
})

test('I1 I2 P-STORE-FAULTS: 10 % errors and 5 % lost replies leave no document out, none twice and no key too many', async () => {
  let faulty = false
  let refused = 0
  let lost = 0
  await using s3 = await startS3Server({
    buckets: ['corpora', 'vectors'],
    faults({ index }) {
      if (!faulty) return undefined
      if (index % 10 === 3) {
        refused += 1
        return { status: index % 20 === 3 ? 503 : 500, code: index % 20 === 3 ? 'SlowDown' : 'InternalError' }
      }
      if (index % 20 !== 7) return undefined
      lost += 1
      return 'reply-lost'
    },
  })
  env = s3.env
  Object.assign(process.env, env)
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: DIMENSIONS }) })
  await using redis = await startRedis()
  await using corpus = await openStore('s3://corpora/wiki', { unsafe: true })
  const lines = documents(COUNT).map(document => `${JSON.stringify(document)}\n`)
  await corpus.putIfAbsent('all.jsonl', Buffer.from(lines.join('')))

  faulty = true
  const parts = ['--endpoint', tei.url, '--redis', redis.url, '--documents-per-shard', '40']
  const { code, stdout } = await reembed(
    ['run', '--source', 's3://corpora/wiki', '--output', 's3://vectors/wiki', '--json', ...parts],
    env,
  )
  faulty = false
  expect(code).toBe(0)
  const { run, shards, totals } = JSON.parse(stdout)
  expect(totals).toMatchObject({ documents: COUNT, rows: COUNT, rejects: 0 })
  expect(refused).toBeGreaterThan(10)
  expect(lost).toBeGreaterThan(5)

  await using output = await openStore('s3://vectors/wiki')
  const seen = new Map<string, Float32Array>()
  let files = 0
  for await (const { key } of output.list(shardPrefix(run))) {
    files += 1
    for await (const { ids, vectors } of readShard(output, key)) {
      for (const [row, id] of ids.entries()) {
        expect(seen.has(id)).toBe(false)
        seen.set(id, vectors.slice(row * DIMENSIONS, (row + 1) * DIMENSIONS))
      }
    }
  }
  expect(files).toBe(shards)
  for (const { id, text } of documents(COUNT)) {
    expect(seen.get(id)).toEqual(hashVector(text, { dimensions: DIMENSIONS }))
  }
  let sequences = 0
  for await (const _ of output.list('seq/')) sequences += 1
  expect(sequences).toBe(1)
  expect((await reembed(['verify', '--output', 's3://vectors/wiki'], env)).code).toBe(0)
})
