import { Readable } from 'node:stream'
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { withDeadlines } from '@reembed/shared'
import {
  type S3Fault,
  type S3Request,
  type S3Server,
  type S3ServerOptions,
  startS3Server,
} from '@reembed/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { checkStore, raceStore } from '../src/check.ts'
import { getJson } from '../src/json.ts'
import { openStore } from '../src/open.ts'
import type { S3Options } from '../src/s3-options.ts'
import type { Store } from '../src/store.ts'
import { keysOf, storeConformance } from './store-conformance.ts'

/** Isolates the tests from the environment of the machine. */
const CLEAN = {
  AWS_PROFILE: undefined,
  AWS_SESSION_TOKEN: undefined,
  AWS_DEFAULT_REGION: undefined,
  AWS_ENDPOINT_URL: undefined,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/nonexistent',
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
}

function useEnv(env: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries({ ...CLEAN, ...env })) vi.stubEnv(name, value)
}

describe('with an S3 server', () => {
  let server: S3Server
  beforeAll(async () => {
    server = await startS3Server()
    useEnv(server.env)
  })
  afterAll(async () => {
    vi.unstubAllEnvs()
    await server[Symbol.asyncDispose]()
  })
  storeConformance({
    name: 'S3',
    open: () => openStore('s3://test/some prefix', { unsafe: true }),
    opaqueKeys: true,
  })
  storeConformance({
    name: 'S3 with all checksums, at the root of a bucket',
    open: () => openStore('s3://test', { unsafe: true, s3: { checksums: 'when_supported' } }),
    opaqueKeys: true,
  })
})

const real = process.env.REEMBED_TEST_S3_URL ?? ''
describe.skipIf(real === '')('a real S3 (run with REEMBED_TEST_S3_URL=s3://bucket/prefix)', () => {
  storeConformance({ name: real, open: () => openStore(real, { unsafe: true }), opaqueKeys: true })
})

describe('S3 store with faults', () => {
  let server: S3Server
  let store: Store
  /** Faults of the next requests, in order. Later requests succeed. */
  let plan: ((request: S3Request) => S3Fault | undefined)[]
  const once = (operation: S3Request['operation'], fault: S3Fault) => {
    plan.push(request => (request.operation === operation ? fault : undefined))
  }

  async function start(options: S3ServerOptions = {}, s3: S3Options = {}, env = {}): Promise<void> {
    server = await startS3Server({
      faults(request) {
        const fault = plan[0]?.(request)
        if (fault !== undefined) plan.shift()
        return fault
      },
      ...options,
    })
    useEnv({ ...server.env, ...env })
    store = await openStore('s3://test/out', { unsafe: true, s3 })
  }
  const operations = () => server.requests.map(({ operation }) => operation)
  const put = (key: string, text: string) => store.putIfAbsent(key, Buffer.from(text))

  beforeEach(async () => {
    plan = []
    await start()
  })
  afterEach(async () => {
    await store[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
    vi.unstubAllEnvs()
  })

  test('getJson sends one request for an existing and for a missing object', async () => {
    await put('a', '{"x":1}')
    expect([await getJson(store, 'a'), await getJson(store, 'none')]).toEqual([{ x: 1 }, undefined])
    expect(operations()).toEqual(['PutObject', 'GetObject', 'GetObject'])
  })

  test('a put returns created and is not repeated when its reply is lost', async () => {
    once('PutObject', 'reply-lost')
    expect(await put('a', 'mine')).toBe('created')
    expect(operations()).toEqual(['PutObject', 'HeadObject'])
  })

  test("a put returns exists when its reply is lost and a concurrent writer's object differs", async () => {
    await put('a', 'theirs')
    once('PutObject', 'reply-lost')
    expect(await put('a', 'mine')).toBe('exists')
    expect(Buffer.from(await store.get('a')).toString()).toBe('theirs')
  })

  test('a put whose reply is lost returns created for equal bytes without metadata, exists for others', async () => {
    server.bucket('test').put('out/a', Buffer.from('mine'))
    once('PutObject', 'reply-lost')
    expect(await put('a', 'mine')).toBe('created')
    server.bucket('test').put('out/b', Buffer.from('else'))
    once('PutObject', 'reply-lost')
    expect(await put('b', 'mine')).toBe('exists')
  })

  test('a put is repeated when its connection breaks before the write', async () => {
    once('PutObject', 'reset')
    expect(await put('a', 'mine')).toBe('created')
    expect(operations()).toEqual(['PutObject', 'HeadObject', 'PutObject'])
    expect(Buffer.from(await store.get('a')).toString()).toBe('mine')
  })

  test('a put returns created when it arrives after the check for its object', async () => {
    // The server receives the first put late: after the HEAD and before the second put.
    once('PutObject', { status: 500, code: 'InternalError' })
    plan.push(request => {
      if (request.operation !== 'PutObject') return undefined
      const headers = { 'x-amz-meta-reembed-sha256': String(request.headers['x-amz-meta-reembed-sha256']) }
      server.bucket('test').put('out/a', Buffer.from('mine'), headers)
      return { status: 412, code: 'PreconditionFailed' }
    })
    expect(await put('a', 'mine')).toBe('created')
  })

  test('SlowDown, server errors, conflicts and broken connections are retried', async () => {
    const passing: S3Fault[] = [
      { status: 503, code: 'SlowDown' },
      { status: 408, code: 'Unknown' },
      { status: 500, code: 'InternalError' },
      { status: 409, code: 'ConditionalRequestConflict' },
      'reset',
    ]
    for (const [i, fault] of passing.entries()) {
      once('PutObject', fault)
      expect(await put(`key-${i}`, 'body')).toBe('created')
    }
    for (const fault of passing) {
      for (const operation of ['GetObject', 'HeadObject', 'ListObjectsV2'] as const) once(operation, fault)
      expect(await store.get('key-0')).toHaveLength(4)
      expect(await store.head('key-0')).toBeDefined()
      expect(await keysOf(store, '')).toHaveLength(passing.length)
    }
    expect(plan).toEqual([])
  })

  test('a call fails with STORE_UNREACHABLE and requeue when the store stays overloaded or unreachable', async () => {
    await start({ faults: () => ({ status: 503, code: 'SlowDown' }) }, { tries: 3 })
    await expect(put('a', 'x')).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      retry: 'requeue',
      message: expect.stringMatching(/s3:PutObject on s3:\/\/test\/out\/a with 503/),
    })
    expect(operations().filter(operation => operation === 'PutObject')).toHaveLength(1)
    await server[Symbol.asyncDispose]()
    await expect(store.get('a')).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      retry: 'requeue',
      message: expect.stringContaining(server.endpoint),
    })
  })

  test('a read continues at its offset of the same object when the body breaks off', async () => {
    const body = Buffer.from(Array.from({ length: 2_000_000 }, (_, i) => i * 7))
    await store.putIfAbsent('a', body)
    for (let i = 0; i < 10; i++) once('GetObject', { truncateAfter: 150_000 })
    expect(Buffer.compare(await store.get('a', { start: 10 }), body.subarray(10))).toBe(0)
    const gets = server.requests.filter(({ operation }) => operation === 'GetObject')
    expect(gets).toHaveLength(11)
    expect(gets.at(-1)?.headers.range).toBe('bytes=1500010-')

    once('GetObject', { truncateAfter: 100_000 })
    plan.push(() => {
      server.bucket('test').put('out/a', Buffer.from('another'))
      return undefined
    })
    const changed = { code: 'SOURCE_CHANGED', message: expect.stringContaining('s3://test/out/a') }
    await expect(store.get('a')).rejects.toMatchObject(changed)
  })

  test('a read continues on a new connection when the connection is idle for too long', async () => {
    store = await withDeadlines({ timeoutMs: 3_000 }, async () =>
      openStore('s3://test/out', { unsafe: true }),
    )
    const body = Buffer.alloc(1_000_000, 'abc')
    await store.putIfAbsent('a', body)
    once('GetObject', { delayMs: 60_000, afterBytes: 300_000 })
    once('GetObject', { delayMs: 60_000 })
    expect(Buffer.compare(await store.get('a'), body)).toBe(0)
    once('PutObject', { delayMs: 60_000 })
    expect(await put('b', 'mine')).toBe('created')
  })

  test('a call ends at once when the signal is aborted while the store is slow or unreachable', async () => {
    await put('a', 'x')
    const slow = { delayMs: 60_000 }
    const away = { status: 503, code: 'SlowDown' }
    for (const fault of [slow, away, away, away, away]) {
      // More faults than the calls can consume before the abort, even on a slow machine.
      plan = Array(100).fill(() => fault)
      const stop = new AbortController()
      const reason = new Error('enough')
      const calls = [
        store.get('a', stop),
        store.head('a', stop),
        store.putIfAbsent('b', Buffer.from('x'), stop),
      ]
      const seen = server.requests.length
      await vi.waitUntil(() => server.requests.length > seen, { timeout: 20_000 })
      stop.abort(reason)
      for (const call of calls) await expect(call).rejects.toBe(reason)
    }
  })

  test('checkStore refuses a store that ignores If-None-Match, also when a reply is lost', async () => {
    await start({ ignoreIfNoneMatch: true })
    const unsafe = {
      code: 'STORE_UNSAFE',
      message: expect.stringMatching(/ignores If-None-Match.*allow an unsafe store/),
    }
    await expect(checkStore(store)).rejects.toMatchObject(unsafe)
    await expect(raceStore(store)).rejects.toMatchObject({
      code: 'STORE_UNSAFE',
      message: expect.stringContaining('16 of 16'),
    })
    once('PutObject', 'reply-lost')
    await expect(checkStore(store)).rejects.toMatchObject(unsafe)
    plan = [() => undefined, request => (request.operation === 'PutObject' ? 'reply-lost' : undefined)]
    await expect(checkStore(store)).rejects.toMatchObject(unsafe)
  })

  test('openStore refuses the first put to a store that ignores If-None-Match, unless it is allowed', async () => {
    await start({ ignoreIfNoneMatch: true })
    await using checked = await openStore('s3://test/out')
    const put = () => checked.putIfAbsent('a', Buffer.from('x'))
    await expect(put()).rejects.toMatchObject({ code: 'STORE_UNSAFE', option: 'unsafe' })
    await expect(put()).rejects.toMatchObject({ code: 'STORE_UNSAFE' })
    expect(await checked.head('a')).toBeUndefined()
    await using allowed = await openStore('s3://test/out', { unsafe: true })
    expect(await allowed.putIfAbsent('a', Buffer.from('x'))).toBe('created')
  })

  test('a store that has no conditional puts at all is refused', async () => {
    once('PutObject', { status: 501, code: 'NotImplemented' })
    await expect(checkStore(store)).rejects.toMatchObject({ code: 'STORE_UNSAFE' })
  })

  describe('the message names the fix and contains no secret:', () => {
    const SECRET = 'canary-secret-that-must-not-leak'
    const failing = async (
      s3: S3Options,
      env: Record<string, string | undefined>,
      options: S3ServerOptions = {},
    ) => {
      await start(options, { tries: 2, ...s3 }, env)
      const error = await put('dir/a', 'x').then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(JSON.stringify(error) + String(error) + (error as Error).stack).not.toContain(SECRET)
      return error
    }

    test('wrong secret', async () => {
      expect(await failing({}, { AWS_SECRET_ACCESS_KEY: SECRET })).toMatchObject({
        code: 'STORE_ACCESS_DENIED',
        message: expect.stringMatching(/SignatureDoesNotMatch.*AWS_ACCESS_KEY_ID.*AWS_SECRET_ACCESS_KEY/),
      })
    })

    test('unknown access key', async () => {
      expect(await failing({}, { AWS_ACCESS_KEY_ID: SECRET })).toMatchObject({
        code: 'STORE_ACCESS_DENIED',
        message: expect.stringContaining('InvalidAccessKeyId'),
      })
    })

    test('no credentials', async () => {
      const none = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined }
      expect(await failing({}, none)).toMatchObject({
        code: 'STORE_ACCESS_DENIED',
        message: expect.stringMatching(/No credentials.*set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/),
      })
      expect(server.requests).toEqual([])
    })

    test('access denied', async () => {
      expect(await failing({}, {}, { faults: () => ({ status: 403, code: 'AccessDenied' }) })).toMatchObject({
        code: 'STORE_ACCESS_DENIED',
        message: expect.stringMatching(/s3:PutObject.*s3:\/\/test\/out\/dir\/a/),
      })
      await expect(store.head('b')).rejects.toMatchObject({
        message: expect.stringContaining('s3:ListBucket'),
      })
      await expect(keysOf(store, 'b')).rejects.toMatchObject({
        message: expect.stringContaining('s3:ListBucket'),
      })
    })

    test('no such bucket', async () => {
      const missing = { code: 'SOURCE_NOT_FOUND', message: expect.stringContaining("'test'") }
      expect(await failing({}, {}, { buckets: ['other'] })).toMatchObject(missing)
      await expect(store.get('a', { ifMatch: 'x' })).rejects.toMatchObject(missing)
      await expect(keysOf(store, '')).rejects.toMatchObject(missing)
    })

    test('another region', async () => {
      const headers = { 'x-amz-bucket-region': 'eu-south-2' }
      const faults = () => ({ status: 301, code: 'PermanentRedirect', headers })
      const elsewhere = { code: 'USAGE', message: expect.stringContaining('set AWS_REGION=eu-south-2') }
      expect(await failing({}, {}, { faults })).toMatchObject(elsewhere)
      await expect(store.head('a')).rejects.toMatchObject(elsewhere)
    })

    test('no region', async () => {
      useEnv({ AWS_REGION: undefined, AWS_ENDPOINT_URL_S3: undefined })
      const aws = await openStore('s3://test/out')
      await expect(aws.head('a')).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining('AWS_REGION'),
      })
    })

    test('clock skew is corrected, or reported with its offset', async () => {
      await start({ clockOffsetMs: 3_600_000 })
      expect(await put('a', 'x')).toBe('created')
      const skewed = await failing(
        {},
        {},
        { clockOffsetMs: -7_200_000, faults: () => ({ status: 403, code: 'RequestTimeTooSkewed' }) },
      )
      expect(skewed).toMatchObject({ message: expect.stringMatching(/clock is 7\d\d\d s ahead/) })
    })

    test.each([-30, 30])(
      'modification times are in local time, when the clock of the store is off by %i days',
      async days => {
        await start({ clockOffsetMs: days * 86_400_000 })
        const before = Date.now()
        await put('a', 'x')
        // The first reply of a connection, and a later one.
        await using elsewhere = await openStore('s3://test/out')
        for (const each of [elsewhere, store]) {
          const [listed] = await Array.fromAsync(each.list(''))
          expect(Math.abs((listed?.modifiedMs ?? 0) - before)).toBeLessThan(300_000)
        }
      },
    )

    test('an endpoint is unreachable, when its name does not resolve or its port is closed', async () => {
      const away = { code: 'STORE_UNREACHABLE', retry: 'requeue' }
      const refused = await failing({ endpoint: `http://user-less.invalid:9/${SECRET}` }, {})
      expect(refused).toMatchObject({
        ...away,
        message: expect.stringContaining('http://user-less.invalid:9'),
      })
      expect(await failing({ endpoint: 'http://127.0.0.1:1' }, {})).toMatchObject({
        ...away,
        message: expect.stringContaining('http://127.0.0.1:1'),
      })
    })

    test('an endpoint that is no S3 store', async () => {
      await expect(
        openStore('s3://test', { unsafe: true, s3: { endpoint: `ftp://x:${SECRET}@y` } }),
      ).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.not.stringContaining(SECRET),
      })
    })

    test('credentials in a URL', async () => {
      for (const open of [
        () => openStore(`s3://key:${SECRET}@bucket/x`),
        () => openStore('s3://bucket', { s3: { endpoint: `http://key:${SECRET}@host` } }),
      ]) {
        await expect(open()).rejects.toMatchObject({
          code: 'USAGE',
          message: expect.not.stringContaining(SECRET),
        })
      }
    })
  })
})

describe('the test server', () => {
  test('accepts a chunked body with a trailing checksum, and refuses a wrong checksum', async () => {
    await using server = await startS3Server()
    useEnv(server.env)
    const client = new S3Client({ endpoint: server.endpoint, forcePathStyle: true, maxAttempts: 1 })
    const body = Readable.from([Buffer.alloc(100_000, 'a'), Buffer.alloc(200_000, 'a')])
    await client.send(new PutObjectCommand({ Bucket: 'test', Key: 'a', Body: body, ContentLength: 300_000 }))
    expect(server.bucket('test').get('a')?.body.length).toBe(300_000)
    const suffix = await client.send(new GetObjectCommand({ Bucket: 'test', Key: 'a', Range: 'bytes=-7' }))
    expect(await suffix.Body?.transformToString()).toBe('aaaaaaa')
    const wrong = new PutObjectCommand({ Bucket: 'test', Key: 'b', Body: 'x', ChecksumSHA256: 'AAAA' })
    await expect(client.send(wrong)).rejects.toMatchObject({ name: 'BadDigest' })
    client.destroy()
    vi.unstubAllEnvs()
  })

  test('serves an object that was changed at rest, and the reader detects it by its checksum', async () => {
    await using server = await startS3Server()
    useEnv(server.env)
    await using store = await openStore('s3://test', { unsafe: true, s3: { checksums: 'when_supported' } })
    await store.putIfAbsent('a', Buffer.from('content'))
    const { headers } = server.bucket('test').get('a') ?? {}
    server.bucket('test').put('a', Buffer.from('kontent'), headers)
    await expect(store.get('a')).rejects.toMatchObject({ code: 'CORRUPT', retry: 'retry' })
    vi.unstubAllEnvs()
  })
})
