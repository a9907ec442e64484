// Shards whose slices did not change are carried over: the store copies the object, and no vector
// passes through the worker. Every run stays whole in its own folder.

import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { modelOf, openEndpoint } from '@reembed/endpoint'
import { verify } from '@reembed/evaluate'
import { createHashEngine, freePort, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { findBaseRun, openCorpus, planRun, recordPlan } from '@reembed/planner'
import {
  carryUnchanged,
  createSweeper,
  deleteRuns,
  enqueueMissing,
  finalize,
  findGarbage,
} from '@reembed/producer'
import {
  countPresent,
  type Plan,
  readManifest,
  readManifestShards,
  readPlan,
  readSlices,
  setRunState,
  shardsPresent,
} from '@reembed/protocol'
import { consume, type Job, openQueue, type Queue, type RunPointer } from '@reembed/queue'
import { readReceipt } from '@reembed/shard'
import { ReembedError, shardKey } from '@reembed/shared'
import { ObjectNotFound, openDeleter, openStore, type Store } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { onPath } from './infra/parts/tools.ts'
import { temporaryFolder, writeJsonl } from './parts/cli.ts'
import { embedAll, makeRun, vectorsOf } from './parts/make-run.ts'
import { lackOfModules, PYTHON, testUnless } from './parts/needs.ts'

const FILES = ['a', 'b', 'c', 'd']
const PER_FILE = 200
const PER_SHARD = { documentsPerShard: 100 }

const CREDENTIALS = {
  AWS_ACCESS_KEY_ID: 'key',
  AWS_SECRET_ACCESS_KEY: 'a-secret',
  AWS_REGION: 'us-east-1',
}

/** S3 servers of other projects. */
const SERVERS = [
  {
    name: 'moto',
    lack: lackOfModules('moto', 'flask'),
    command: (port: number): string[] => [PYTHON, '-m', 'moto.server', '-p', String(port)],
  },
  {
    name: 'versitygw',
    lack: onPath('versitygw') ? undefined : 'no versitygw on PATH',
    command: (port: number, place: string): string[] => [
      'versitygw',
      ...['--port', `127.0.0.1:${port}`, '--quiet'],
      ...['--access', CREDENTIALS.AWS_ACCESS_KEY_ID, '--secret', CREDENTIALS.AWS_SECRET_ACCESS_KEY],
      ...['posix', place],
    ],
  },
]

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

describe('before a job exists', () => {
  const output = (): string => join(folder.path, 'vectors')

  /** The recorded plan of the next version, of 8 shards. */
  async function planNext(store: Store): Promise<Plan> {
    await using corpus = await openCorpus(source())
    await using endpoint = await openEndpoint(tei.url)
    const planned = await planRun(corpus, {
      model: modelOf(endpoint),
      findBaseRun: ids => findBaseRun(store, ids),
      ...PER_SHARD,
    })
    return (await recordPlan(store, planned)).plan
  }

  /** Enqueues the next version; returns its plan and the shards that got a job. */
  async function enqueueNext(store: Store): Promise<{ plan: Plan; jobs: number[] }> {
    const plan = await planNext(store)
    const jobs: number[] = []
    const queue = {
      add: async (added: readonly Job[]) => jobs.push(...added.map(({ shard }) => shard)),
      withFinalizeLease: (_: RunPointer, carry: () => Promise<unknown>) => carry(),
    }
    await enqueueMissing(queue as unknown as Queue, store, plan, await shardsPresent(store, plan))
    return { plan, jobs }
  }

  test('P-REUSE: the producer carries unchanged shards over, and only the others get a job', async () => {
    await next(output())
    await write('b', 7)
    await using store = await openStore(output())
    const { plan, jobs } = await enqueueNext(store)
    const slices = await Array.fromAsync(readSlices(store, plan))
    const changed = [...slices.keys()].filter(shard => slices[shard]?.parts[0]?.key === 'b.jsonl')
    expect(changed.length).toBeGreaterThan(1)
    expect(jobs).toEqual(changed)
    expect(countPresent(await shardsPresent(store, plan))).toBe(plan.shards - changed.length)
    await embedAll(store, plan, tei.url)
    const { totals } = await finalize(store, plan)
    expect(totals).toMatchObject({ rows: 800, reused: 799 })
    expect((await verify(store, plan.run)).totals).toEqual(totals)
  })

  test('a later sweep leaves failed and waiting jobs as they are, and reads the base run only for lacking ones', async () => {
    await next(output())
    await write('a', 7)
    await using store = await openStore(output())
    await using redis = await startRedis()
    await using queue = await openQueue(redis.url)
    const plan = await planNext(store)
    const enqueue = async (): Promise<number> =>
      enqueueMissing(queue, store, plan, await shardsPresent(store, plan))
    const of = { output: store.url, run: plan.run }
    const jobs = await enqueue()
    expect(jobs).toBeGreaterThan(0)
    expect(await enqueue()).toBe(0)
    expect(await queue.counts(of)).toMatchObject({ waiting: jobs, failed: 0 })
    const failed = Promise.withResolvers<void>()
    const fail = async (): Promise<void> => {
      throw new ReembedError('SOURCE_CHANGED', 'the file changed')
    }
    let left = jobs
    const consumer = await consume(redis.url, fail, {
      concurrency: 1,
      outputs: [store.url],
      onEvent(event) {
        if (event.kind === 'failed' && event.final && --left === 0) failed.resolve()
      },
    })
    await failed.promise
    await consumer[Symbol.asyncDispose]()
    expect(await enqueue()).toBe(0)
    expect(await queue.counts(of)).toMatchObject({ waiting: 0, delayed: 0, failed: jobs })

    const read: string[] = []
    const noting =
      <Rest extends unknown[], Result>(call: (key: string, ...rest: Rest) => Result) =>
      (key: string, ...rest: Rest): Result => {
        if (key.startsWith(`runs/${plan.baseRun}/`)) read.push(key)
        return call(key, ...rest)
      }
    const counted: Store = {
      ...store,
      list: noting(store.list),
      get: noting(store.get),
      stream: noting(store.stream),
    }
    const { sweep } = createSweeper(counted, queue)
    const missing = jobs
    expect(await sweep()).toEqual([{ run: plan.run, status: 'running', missing, enqueued: 0 }])
    // A sweep reads the base run only to carry shards over.
    expect(read).toEqual([])
    await queue.removeFailed(of)
    expect(await sweep()).toEqual([{ run: plan.run, status: 'running', missing, enqueued: missing }])
    expect(read).not.toEqual([])
  })

  test('a producer that is killed while it carries shards over is continued by the next one', async () => {
    await next(output())
    await write('b', 7)
    await using store = await openStore(output())
    const plan = await planNext(store)
    const killed = new AbortController()
    const onCarried = (shards: number): void => {
      if (shards === 2) killed.abort(new Error('killed'))
    }
    const first = carryUnchanged(store, plan, await shardsPresent(store, plan), {
      signal: killed.signal,
      onCarried,
    })
    await expect(first).rejects.toThrow('killed')
    const present = await shardsPresent(store, plan)
    expect(countPresent(present)).toBeGreaterThanOrEqual(2)
    await carryUnchanged(store, plan, present)
    expect(countPresent(present)).toBe(plan.shards - 3)
    expect(present).toEqual(await shardsPresent(store, plan))
  })

  test('a shard that gc deletes meanwhile, and all shards of a paused run, stay missing', async () => {
    const first = await next(output())
    await write('b', 7)
    await using store = await openStore(output())
    const gone = shardKey(first.plan.run, 0, first.plan.shards)
    const collected: Store = {
      ...store,
      copyIfAbsent: async (from, to, options) => {
        if (from === gone) throw new ObjectNotFound(from)
        return store.copyIfAbsent(from, to, options)
      },
    }
    const plan = await planNext(store)
    await setRunState(store, plan.run, 'paused')
    expect(await carryUnchanged(store, plan, await shardsPresent(store, plan))).toBe(0)
    await setRunState(store, plan.run, 'running')
    expect(await carryUnchanged(collected, plan, await shardsPresent(store, plan))).toBe(5)
    expect((await shardsPresent(store, plan))[0]).toBe(0)
    await embedAll(store, plan, tei.url)
    const { totals } = await finalize(store, plan)
    expect((await verify(store, plan.run)).totals).toEqual(totals)
  })

  test('finalizing reads no ids of carried shards, unless the edit adds an id', async () => {
    await next(output())
    await write('b', 7)
    await using store = await openStore(output())
    const { plan, jobs } = await enqueueNext(store)
    await embedAll(store, plan, tei.url)
    const read = new Set<string>()
    const counted: Store = {
      ...store,
      get: (key, options) => {
        // The footers of so small shards are read with everything before them.
        if (options?.start !== 0) read.add(key)
        return store.get(key, options)
      },
    }
    const ids = (): number => [...read].filter(key => key.startsWith(`runs/${plan.run}/data/`)).length
    expect((await finalize(counted, plan)).baseRun).toEqual({ run: plan.baseRun, removedRows: 0 })
    expect(ids()).toBe(jobs.length)
  })

  test('a damaged base run is reported as unreadable, and a damaged plan of the run itself as damaged', async () => {
    await next(output())
    await write('b', 7)
    await using store = await openStore(output())
    const { plan } = await enqueueNext(store)
    await embedAll(store, plan, tei.url)
    /** The output, where the objects that fit are damaged from the nth read on. */
    const damaged = (fits: RegExp, from: number): Store => {
      let reads = 0
      return {
        ...store,
        async *stream(key, options) {
          if (fits.test(key) && ++reads >= from) yield Buffer.from('{')
          else yield* store.stream(key, options)
        },
      }
    }
    const ownPlan = new RegExp(`^runs/${plan.run}/plan-`)
    // The shards are audited first, and the ids compared then.
    await expect(finalize(damaged(ownPlan, 2), plan)).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringContaining(`runs/${plan.run}/plan-`),
    })
    const { baseRun } = await finalize(damaged(new RegExp(`^runs/${plan.baseRun}/manifest`), 1), plan)
    expect(baseRun).toEqual({ run: plan.baseRun, removedRows: null })
  })

  test('an edited document with the id of an unchanged one is a duplicate', async () => {
    await next(output())
    await writeJsonl(join(source(), 'b.jsonl'), [
      { id: 'b0', text: 'the first document' },
      { id: 'a3', text: 'a document that took the id of another' },
    ])
    const refused = { code: 'DUPLICATE_ID', message: expect.stringContaining('"a3"') }
    await expect(next(output())).rejects.toMatchObject(refused)
  })

  test('two edited documents with one id of the base run are duplicates', async () => {
    await next(output())
    await writeJsonl(join(source(), 'b.jsonl'), [
      { id: 'b0', text: 'the first document' },
      { id: 'b0', text: 'the second document' },
    ])
    await expect(next(output())).rejects.toMatchObject({ code: 'DUPLICATE_ID' })
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

  for (const { name, lack, command } of SERVERS)
    testUnless(
      lack,
      `P-REUSE: against ${name}, whatever it supports`,
      async () => {
        for (const [variable, value] of Object.entries(CREDENTIALS)) vi.stubEnv(variable, value)
        const port = await freePort()
        vi.stubEnv('AWS_ENDPOINT_URL_S3', `http://127.0.0.1:${port}`)
        const [program = '', ...args] = command(port, await mkdtemp(join(folder.path, 's3-')))
        const server = spawn(program, args, { stdio: 'ignore' })
        const client = new S3Client({ forcePathStyle: true })
        try {
          const created = (): Promise<unknown> =>
            client.send(new CreateBucketCommand({ Bucket: 'vectors' })).then(() => 'created', String)
          await expect.poll(created, { timeout: 60_000 }).toBe('created')
          await expectCarried('s3://vectors/wiki')
        } finally {
          client.destroy()
          server.kill()
        }
      },
      120_000,
    )
})
