// Workers with a wrong setting, as real processes, beside a healthy worker and alone.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { openQueue } from '@reembed/queue'
import { type S3Server, startS3Server } from '@reembed/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { documents, flags, type Running, reembed, start, temporaryFolder } from './parts/cli.ts'
import { type Front, hasToken, openFront } from './parts/front.ts'
import { SELF_SIGNED } from './parts/self-signed.ts'

const COUNT = 600
const UNREADY = { timeout: 30_000, interval: 250 }

let redis: LocalRedis
let right: TeiServer
let other: TeiServer
let front: Front
let secure: Front
/** The store behind TLS. */
let secureStore: Front
let s3: S3Server
let folder: AsyncDisposable & { readonly path: string }
let workers: Running[]
/** Calls that the store refuses to the worker with the wrong setting. */
let denied: RegExp | undefined

beforeAll(async () => {
  const engine = (sha: string) => createHashEngine({ model: 'test/model', sha, dimensions: 16 })
  right = await serveTei({ engine: engine('r1') })
  other = await serveTei({ engine: engine('r2') })
  secure = await openFront(right.url, SELF_SIGNED)
  folder = await temporaryFolder()
  await writeFile(join(folder.path, 'ca.pem'), SELF_SIGNED.cert)
})
afterAll(async () => {
  for (const part of [secure, right, other, folder]) await part[Symbol.asyncDispose]()
})

beforeEach(async () => {
  workers = []
  denied = undefined
  redis = await startRedis()
  front = await openFront(right.url)
  s3 = await startS3Server({
    buckets: ['corpora', 'vectors'],
    faults: ({ headers, operation, bucket }) =>
      String(headers['user-agent']).includes('app/broken') && denied?.test(`${operation} ${bucket}`)
        ? { status: 403, code: 'AccessDenied' }
        : undefined,
  })
  secureStore = await openFront(s3.endpoint, SELF_SIGNED)
  s3.bucket('corpora').put(
    'a.jsonl',
    Buffer.from(
      documents(COUNT)
        .map(document => `${JSON.stringify(document)}\n`)
        .join(''),
    ),
  )
  const corpus = { source: 's3://corpora/', output: 's3://vectors/wiki', 'documents-per-shard': '50' }
  const planned = await reembed(['enqueue', ...flags(corpus), ...parts(right.url), '--json'], s3.env)
  expect(planned.code).toBe(0)
})
afterEach(async () => {
  for (const { child } of workers) child.kill('SIGKILL')
  await Promise.all(workers.map(({ finished }) => finished))
  for (const part of [front, secureStore, s3, redis]) await part[Symbol.asyncDispose]()
})

const parts = (endpoint: string): string[] => ['--endpoint', endpoint, '--redis', redis.url]

function startWorker(args: readonly string[], env: Record<string, string> = {}): Running {
  const worker = start(
    ['worker', '--output', 's3://vectors/wiki', '--concurrency', '2', '--metrics', '0', ...args],
    { ...s3.env, ...env },
  )
  workers.push(worker)
  return worker
}

/** The replies of /ready: status and text. */
async function readyUrl({ line }: Running): Promise<string> {
  return `${JSON.parse(await line(/"metrics served"/)).url}/ready`
}

async function readiness(url: string): Promise<string> {
  const response = await fetch(url)
  return `${response.status} ${await response.text()}`
}

async function failedJobs(): Promise<number> {
  await using queue = await openQueue(redis.url)
  return (await queue.counts()).failed
}

const published = ({ line }: Running): Promise<string> => line(/"state":"published"/)

async function expectVerified(): Promise<void> {
  expect(await failedJobs()).toBe(0)
  const verified = await reembed(['verify', '--output', 's3://vectors/wiki'], s3.env)
  expect(verified.stdout).toMatch(/verified/)
  expect(verified.code).toBe(0)
}

interface Broken {
  readonly start: () => Running
  readonly reason: RegExp
  /** Corrects what the worker depends on, not the worker. */
  readonly repair?: () => void
}

const wrongStore = (calls: RegExp): Running => {
  denied = calls
  return startWorker(parts(right.url), { AWS_SDK_UA_APP_ID: 'broken' })
}

/** Whether a body has some thirty documents: longer than test texts, shorter than the long one. */
const isOfDocuments = (bytes: number): boolean => bytes > 600 && bytes < 3_000

const BROKEN: Readonly<Record<string, Broken>> = {
  'a wrong key of the endpoint': {
    start() {
      front.refuse = headers => (hasToken(headers, 'wrong') ? 401 : undefined)
      return startWorker(parts(front.url), { REEMBED_ENDPOINT_TOKEN: 'wrong' })
    },
    reason: /HTTP 401.*set or correct the token/,
    repair() {
      front.refuse = () => undefined
    },
  },
  'a key of the endpoint that is refused once documents are sent': {
    start() {
      front.refuse = headers =>
        hasToken(headers, 'expiring') && isOfDocuments(Number(headers['content-length'])) ? 401 : undefined
      return startWorker(parts(front.url), { REEMBED_ENDPOINT_TOKEN: 'expiring' })
    },
    reason: /HTTP 401.*set or correct the token/,
    repair() {
      front.refuse = () => undefined
    },
  },
  'an endpoint with another revision of the model': {
    start() {
      front.target = other.url
      return startWorker(parts(front.url))
    },
    reason: /requires model test\/model@r1, but the endpoint .* serves test\/model@r2/,
    repair() {
      front.target = right.url
    },
  },
  'a revision that the endpoint does not serve': {
    start: () => startWorker([...parts(right.url), '--revision', 'r9']),
    reason: /expected revision r9 of the model/,
  },
  'a certificate authority that it does not know': {
    start: () => startWorker(parts(secure.url)),
    reason: /TLS failed/,
  },
  'an address where no server listens': {
    start: () => startWorker(parts('http://127.0.0.1:1')),
    reason: /no connection \(ECONNREFUSED\)/,
  },
  'an address of another service': {
    start() {
      front.refuse = () => 404
      return startWorker(parts(front.url))
    },
    reason: /not a TEI endpoint/,
    repair() {
      front.refuse = () => undefined
    },
  },
  'a wrong key of the store': {
    start: () => startWorker(parts(right.url), { AWS_SECRET_ACCESS_KEY: 'wrong' }),
    reason: /refused the credentials|Access denied/,
  },
  'a certificate authority of the store that it does not know': {
    start: () => startWorker(parts(right.url), { AWS_ENDPOINT_URL_S3: secureStore.url }),
    reason: /SELF_SIGNED|certificate/,
  },
  'a corpus that it may not read': {
    start: () => wrongStore(/^GetObject corpora/),
    reason: /Access denied: s3:GetObject on s3:\/\/corpora/,
    repair() {
      denied = undefined
    },
  },
  'no right to put': {
    start: () => wrongStore(/^PutObject vectors/),
    reason: /Access denied: s3:PutObject on s3:\/\/vectors/,
    repair() {
      denied = undefined
    },
  },
}

describe.each(Object.entries(BROKEN))('a worker with %s', (_, broken) => {
  test('is unready within 30 s, and fails no job beside a healthy worker', async () => {
    const worker = broken.start()
    const url = await readyUrl(worker)
    await expect.poll(() => readiness(url), UNREADY).toMatch(/^503 (?:takes no jobs|endpoint unreachable)/)
    expect(await readiness(url)).toMatch(broken.reason)
    const token = { REEMBED_ENDPOINT_TOKEN: 'right' }
    const ca = { NODE_EXTRA_CA_CERTS: join(folder.path, 'ca.pem') }
    const healthy = startWorker(parts(broken.reason.test('TLS failed') ? secure.url : right.url), {
      ...token,
      ...ca,
    })
    await published(healthy)
    await expectVerified()
    // Reported at most once, whatever the number of jobs.
    worker.child.kill('SIGTERM')
    const { stderr } = await worker.finished
    expect(stderr.match(/worker takes no jobs/g)?.length ?? 0).toBeLessThanOrEqual(1)
  })
})

describe.each(Object.entries(BROKEN).filter(([, { repair }]) => repair))('a worker with %s', (_, broken) => {
  test('continues by itself when it is alone and the cause is corrected', async () => {
    const worker = broken.start()
    await worker.line(/worker takes no jobs/)
    expect(await failedJobs()).toBe(0)
    broken.repair?.()
    await published(worker)
    expect(await readiness(await readyUrl(worker))).toBe('200 ready\n')
    await expectVerified()
  })
})

test('a worker exits with the code of its fault when it could not work for the time to give up', async () => {
  front.target = other.url
  const worker = startWorker([...parts(front.url), '--give-up-minutes', '0.01'])
  const { code, stderr } = await worker.finished
  expect(stderr).toMatch(/serves test\/model@r2/)
  expect(code).toBe(6)
  expect(await failedJobs()).toBe(0)
})
