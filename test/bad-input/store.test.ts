// Bad inputs 59 to 68: what object stores do, by a real S3 protocol; and a disk.

import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { shardKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { type S3Fault, type S3Request, type S3ServerOptions, startS3Server } from '@reembed/testing'
import { afterAll, beforeAll, expect, vi } from 'vitest'
import { documents, flags, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'
import { bad, type Embedded, embedFiles, expectSaid, expectThrown, jsonl, saidIn } from './parts.ts'

let tei: TeiServer
let redis: LocalRedis
beforeAll(async () => {
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
})
afterAll(async () => {
  await Promise.all([tei, redis].map(part => part?.[Symbol.asyncDispose]()))
})

/** `reembed run` of 40 documents in 8 shards to a faulty store. */
async function embedTo(options: S3ServerOptions): Promise<Embedded & { keys: readonly string[] }> {
  await using s3 = await startS3Server({ buckets: ['bucket'], ...options })
  const made = await embedFiles(
    { 'a.jsonl': jsonl(...documents(40)) },
    {
      tei: tei.url,
      redis: redis.url,
      output: 's3://bucket/x',
      env: s3.env,
      args: ['--documents-per-shard', '5'],
    },
  )
  return { ...made, said: made.said.replaceAll(s3.endpoint, '<s3>'), keys: s3.bucket('bucket').keys() }
}

/** Every shard once, whatever the store did. */
function expectWhole({ code, result, keys }: Awaited<ReturnType<typeof embedTo>>): void {
  expect(code).toBe(0)
  expect(result).toMatchObject({ status: 'published', totals: { documents: 40, rows: 40, rejects: 0 } })
  expect(keys.filter(key => key.endsWith('.parquet'))).toHaveLength(result.shards)
}

/** The fault for every third request of a kind. */
function everyThird(operation: S3Request['operation'], fault: S3Fault) {
  let seen = 0
  return (request: S3Request): S3Fault | undefined =>
    request.operation === operation && ++seen % 3 === 0 ? fault : undefined
}

bad(59, async () => {
  expectWhole(await embedTo({ faults: everyThird('PutObject', { status: 503, code: 'SlowDown' }) }))
})

bad(60, async () => {
  expectWhole(await embedTo({ faults: everyThird('PutObject', 'reply-lost') }))
})

bad(61, async () => {
  const conflict = { status: 409, code: 'ConditionalRequestConflict' }
  expectWhole(await embedTo({ faults: everyThird('PutObject', conflict) }))
})

bad(62, async input => {
  expectSaid(input, await embedTo({ ignoreIfNoneMatch: true }))
})

bad(63, async input => {
  const faults = ({ operation }: S3Request): S3Fault | undefined =>
    operation === 'PutObject' ? { status: 403, code: 'AccessDenied' } : undefined
  expectSaid(input, await embedTo({ faults }))
})

bad(64, async input => {
  expectWhole(await embedTo({ clockOffsetMs: 3 * 3_600_000 }))
  const skewed = (): S3Fault => ({ status: 403, code: 'RequestTimeTooSkewed' })
  const { code, said } = await embedTo({ faults: skewed, clockOffsetMs: 3 * 3_600_000 })
  expectSaid(input, { code, said: said.replace(/\d+ s behind/, '<n> s behind') })
})

bad(65, async input => {
  await using s3 = await startS3Server({ buckets: ['bucket'] })
  for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
  await using store = await openStore('s3://bucket/x', { s3: { checksums: 'when_supported', tries: 2 } })
  await store.putIfAbsent('a', Buffer.from('as it was written'))
  const stored = s3.bucket('bucket').get('x/a')
  s3.bucket('bucket').put('x/a', Buffer.from('as it was wr1tten'), stored?.headers)
  await expectThrown(input, store.get('a'))
  vi.unstubAllEnvs()
})

bad(66, async input => {
  await using folder = await temporaryFolder()
  const source = await writeJsonl(join(folder.path, 'a.jsonl'), documents(40))
  const output = join(folder.path, 'vectors')
  const args = ['run', ...flags({ source, output, endpoint: tei.url, redis: redis.url }), '--json']
  const { run, shards } = JSON.parse((await inProcess(args)).stdout)
  const key = shardKey(run, 0, shards)
  for (const part of ['versions', `runs/${run}/manifest.json`, `runs/${run}/manifest-00000.json.gz`, key])
    await rm(join(output, part), { recursive: true })
  await writeFile(join(output, key), 'not ours')
  const { code, stderr } = await inProcess(args)
  await using store = await openStore(output)
  expect(Buffer.from(await store.get(key)).toString()).toBe('not ours')
  expectSaid(input, { code, said: saidIn(stderr).replaceAll(output, '<output>') })
})

bad(67, async input => {
  const said: string[] = []
  let code = 0
  for (const fault of ['ENOSPC', 'EROFS']) {
    disk.fault = fault
    const made = await embedFiles({ 'a.jsonl': jsonl(...documents(5)) }, { tei: tei.url, redis: redis.url })
    disk.fault = undefined
    said.push(made.said)
    code = made.code
  }
  expectSaid(input, { code, said: said.join(' | ') })
})

/** A disk that can't be written; all other calls are real. */
const disk = vi.hoisted(() => ({ fault: undefined as string | undefined }))
vi.mock('node:fs/promises', async importOriginal => {
  const fs = await importOriginal<typeof import('node:fs/promises')>()
  return {
    ...fs,
    async open(path: string, flags: string | number) {
      if (flags === 'wx' && disk.fault) throw Object.assign(new Error(disk.fault), { code: disk.fault })
      return fs.open(path, flags)
    },
  }
})

bad(68, async input => {
  const faults = (): S3Fault => ({
    status: 301,
    code: 'PermanentRedirect',
    headers: { 'x-amz-bucket-region': 'eu-central-1' },
  })
  expectSaid(input, await embedTo({ faults }))
})
