// Shards whose slices did not change are carried over: the store copies the object, and no vector
// passes through the worker. Every run stays whole in its own folder.

import { spawn } from 'node:child_process'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { verify } from '@reembed/evaluate'
import { createHashEngine, freePort, serveTei, type TeiServer } from '@reembed/local'
import { deleteRuns, findGarbage } from '@reembed/producer'
import { type Plan, readManifest, readManifestShards, readPlan } from '@reembed/protocol'
import { readReceipt } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openDeleter, openStore, type Store } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { temporaryFolder, writeJsonl } from './parts/cli.ts'
import { makeRun, vectorsOf } from './parts/make-run.ts'
import { lackOfModules, PYTHON, testUnless } from './parts/needs.ts'

const FILES = ['a', 'b', 'c', 'd']
const PER_FILE = 200
const PER_SHARD = { documentsPerShard: 100 }

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let tei: TeiServer

beforeEach(async () => {
  folder = await temporaryFolder()
  tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  for (const name of FILES) await write(name)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const part of [tei, folder]) await part[Symbol.asyncDispose]()
})

const source = (): string => join(folder.path, 'corpus')
const write = async (name: string, edited = -1): Promise<void> => {
  await mkdir(source(), { recursive: true })
  const lines = Array.from({ length: PER_FILE }, (_, i) => ({
    id: `${name}${i}`,
    text: `document ${i} of ${name}${i === edited ? ', edited' : ''}`,
  }))
  await writeJsonl(join(source(), `${name}.jsonl`), lines)
}
const next = (output: string) => makeRun({ source: source(), output, url: tei.url }, PER_SHARD)

/** The runs that made the shards of each file, by the receipts and by the manifest. */
async function makersOf(store: Store, run: string): Promise<Record<string, string>> {
  const [plan, manifest] = [await readPlan(store, run), await readManifest(store, run)]
  if (!plan || !manifest) throw new Error(`run ${run} is not finished`)
  const makers: Record<string, Set<string>> = {}
  for await (const { key, carriedFrom } of readManifestShards(store, manifest)) {
    const { receipt } = await readReceipt(store, key)
    expect(carriedFrom).toBe(receipt.run === run ? undefined : receipt.run)
    const file = receipt.source[0]?.key[0] ?? ''
    makers[file] = (makers[file] ?? new Set()).add(receipt.run)
  }
  return Object.fromEntries(Object.entries(makers).map(([file, runs]) => [file, [...runs].join()]))
}

/** Three versions, each with one edited file. Checks the makers, the totals and every vector. */
async function expectCarried(output: string): Promise<Plan[]> {
  const [first, second, third] = [
    await next(output),
    await write('b', 7).then(() => next(output)),
    await write('d', 9).then(() => next(output)),
  ]
  await using store = await openStore(output)
  const [one, two, three] = [first, second, third].map(({ plan }) => plan.run)
  expect(await makersOf(store, two ?? '')).toEqual({ a: one, b: two, c: one, d: one })
  expect(await makersOf(store, three ?? '')).toEqual({ a: one, b: two, c: one, d: three })
  expect(third.manifest.totals).toMatchObject({ rows: 800, reused: 799 })
  expect(third.manifest.totals.tokens).toBeLessThan(64)
  for (const { plan, manifest } of [second, third])
    expect((await verify(store, plan.run)).totals).toEqual(manifest.totals)
  const fresh = await makeRun(
    { source: source(), output: join(folder.path, 'fresh'), url: tei.url },
    PER_SHARD,
  )
  const right = await vectorsOf(join(folder.path, 'fresh'), fresh.plan.run)
  expect(await vectorsOf(output, three ?? '')).toEqual(right)
  return [first, second, third].map(({ plan }) => plan)
}

describe('in a folder', () => {
  const output = (): string => join(folder.path, 'vectors')
  /** The first shard, of a file that is never edited. */
  const keyOf = ({ run, shards }: Plan): string => shardKey(run, 0, shards)
  const pathOf = (plan: Plan): string => join(output(), keyOf(plan))

  test('P-REUSE: a carried shard is a hard link, with the receipt of the run that made it', async () => {
    const plans = await expectCarried(output())
    const inodes = await Promise.all(plans.map(async plan => (await stat(pathOf(plan))).ino))
    expect(plans).toHaveLength(3)
    expect(new Set(inodes).size).toBe(1)
  })

  test('P-REUSE P-GC: a version stays whole when the run that made its shards is deleted', async () => {
    const first = await next(output())
    await write('b', 7)
    const second = await next(output())
    await using store = await openStore(output())
    await using deleter = await openDeleter(output())
    const rules = { keep: 1, beforeMs: Number.POSITIVE_INFINITY }
    const { deletable } = await findGarbage(store, rules)
    expect(deletable.map(({ run }) => run)).toEqual([first.plan.run])
    for await (const { deleted } of deleteRuns(store, deleter, [first.plan.run], rules))
      expect(deleted).toBe(true)
    expect((await verify(store, second.plan.run)).totals).toEqual(second.manifest.totals)
    await write('c', 5)
    const third = await next(output())
    expect(third.manifest.totals.reused).toBe(799)
    expect((await verify(store, third.plan.run)).totals).toEqual(third.manifest.totals)
  })

  test('verify reports a carried shard with a changed byte; without its file, the next version embeds it again', async () => {
    const first = await next(output())
    const path = pathOf(first.plan)
    const bytes = await readFile(path)
    bytes.writeUInt8(bytes.readUInt8(1_500) ^ 1, 1_500)
    await rm(path)
    await writeFile(path, bytes)
    await write('b', 7)
    const second = await next(output())
    await using store = await openStore(output())
    await expect(verify(store, second.plan.run)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(keyOf(second.plan)),
    })
    await rm(pathOf(second.plan))
    await write('c', 5)
    const third = await next(output())
    const { receipt } = await readReceipt(store, keyOf(third.plan))
    expect(receipt.run).toBe(third.plan.run)
    expect(third.manifest.totals.reused).toBe(800 - receipt.rows - 1)
    expect((await verify(store, third.plan.run)).totals).toEqual(third.manifest.totals)
  })
})

describe('on S3', () => {
  test.each([
    ['conditional', 'the store copies, and no vector is read'],
    ['unconditional', 'the bytes pass through the worker, and no copy could overwrite a shard'],
    ['none', 'the bytes pass through the worker'],
  ] as const)('P-REUSE: with copies that are %s, %s', async (copies, _what) => {
    await using s3 = await startS3Server({ buckets: ['vectors'], copies })
    for (const [name, value] of Object.entries(s3.env)) vi.stubEnv(name, value)
    await expectCarried('s3://vectors/wiki')
    const copied = s3.requests.filter(({ headers }) => headers['x-amz-copy-source'] !== undefined)
    const shards = copied.filter(({ key }) => key.includes('/data/'))
    expect(shards.length > 0).toBe(copies === 'conditional')
    expect(shards.every(({ headers }) => headers['if-none-match'] === '*')).toBe(true)
  })

  testUnless(
    lackOfModules('moto', 'flask'),
    'P-REUSE: against moto, whatever it supports',
    async () => {
      const port = await freePort()
      const server = spawn(PYTHON, ['-m', 'moto.server', '-p', String(port)], { stdio: 'ignore' })
      const url = `http://127.0.0.1:${port}`
      try {
        for (let tries = 0; !(await fetch(url).catch(() => undefined)); tries += 1) {
          if (tries === 300) throw new Error('moto did not start')
          await wait(100)
        }
        await fetch(`${url}/vectors`, { method: 'PUT' })
        const env = {
          AWS_ENDPOINT_URL_S3: url,
          AWS_ACCESS_KEY_ID: 'k',
          AWS_SECRET_ACCESS_KEY: 's',
          AWS_REGION: 'us-east-1',
        }
        for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
        await expectCarried('s3://vectors/wiki')
      } finally {
        server.kill()
      }
    },
    120_000,
  )
})
