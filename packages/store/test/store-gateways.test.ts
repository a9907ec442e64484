// Gateways that differ from S3: redirected reads, If-Match ignored, no user metadata. With all
// three, the S3 test server is the gateway of Hugging Face's Storage Buckets.

import { type S3Server, type S3ServerOptions, startS3Server } from '@reembed/testing'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { openDeleter } from '../src/delete.ts'
import { openStore } from '../src/open.ts'
import { storeConformance } from './store-conformance.ts'

const CLEAN = {
  AWS_PROFILE: undefined,
  AWS_SESSION_TOKEN: undefined,
  AWS_DEFAULT_REGION: undefined,
  AWS_ENDPOINT_URL: undefined,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/nonexistent',
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
}
const HUB: S3ServerOptions = {
  buckets: ['vectors'],
  pathPrefix: '/my-org',
  redirectGets: true,
  ignoreIfMatch: true,
  dropMetadata: true,
}

async function start(options: S3ServerOptions): Promise<S3Server> {
  const server = await startS3Server(options)
  for (const [name, value] of Object.entries({ ...CLEAN, ...server.env })) vi.stubEnv(name, value)
  if (options.pathPrefix) {
    vi.stubEnv('AWS_ENDPOINT_URL_S3', undefined)
    vi.stubEnv('HF_S3_ENDPOINT', server.endpoint.slice(0, -options.pathPrefix.length))
  }
  return server
}

describe('Storage Buckets of Hugging Face', () => {
  let server: S3Server
  beforeAll(async () => {
    server = await start(HUB)
    return async () => {
      vi.unstubAllEnvs()
      await server[Symbol.asyncDispose]()
    }
  })
  storeConformance({
    name: 'hf://buckets',
    open: () => openStore('hf://buckets/my-org/vectors/some prefix', { unsafe: true }),
    opaqueKeys: true,
  })

  test('are named by their own URL, and redirected reads carry no credentials', async () => {
    await using store = await openStore('hf://buckets/my-org/vectors/a/')
    await store.putIfAbsent('key', Buffer.from('hello'))
    expect(store.url).toBe('hf://buckets/my-org/vectors/a')
    expect(Buffer.from(await store.get('key', { start: 1, end: 3 })).toString()).toBe('el')
    expect(server.redirected.length).toBeGreaterThan(0)
    expect(server.redirected.flat().filter(name => /^authorization$|^x-amz-/.test(name))).toEqual([])
    await using deleter = await openDeleter('hf://buckets/my-org/vectors/a')
    await deleter.delete('key')
    expect(await store.head('key')).toBeUndefined()
  })

  test.each(['hf://buckets/', 'hf://buckets/my-org', 'hf://buckets/my-org/'])(
    '%s without namespace or bucket is refused',
    async url => {
      await expect(openStore(url)).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining('hf://buckets/namespace/bucket/prefix'),
      })
    },
  )
})

describe('a gateway', () => {
  afterEach(() => vi.unstubAllEnvs())

  test.each<[string, S3ServerOptions, string]>([
    ['ignores If-Match', { buckets: ['vectors'], ignoreIfMatch: true }, 's3://vectors'],
    ['redirects and ignores If-Match', HUB, 'hf://buckets/my-org/vectors'],
  ])('that %s: no byte of a changed object is returned', async (_, options, url) => {
    await using server = await start(options)
    await using store = await openStore(url, { unsafe: true })
    const bucket = server.bucket('vectors')
    bucket.put('key', Buffer.from('before'))
    const { etag = '' } = (await store.head('key')) ?? {}
    expect(Buffer.from(await store.get('key', { ifMatch: etag })).toString()).toBe('before')
    bucket.put('key', Buffer.from('after!'))
    for (const range of [{}, { start: 2 }, { start: 1, end: 4 }]) {
      const pieces: Uint8Array[] = []
      const reading = async () => {
        for await (const piece of store.stream('key', { ...range, ifMatch: etag })) pieces.push(piece)
      }
      await expect(reading()).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
      expect(pieces).toEqual([])
    }
  })

  test.each([0, 1, 2])(
    'that keeps no metadata and loses the reply of put %i: the own object is recognised',
    async lost => {
      let puts = 0
      await using _ = await start({
        ...HUB,
        faults: ({ operation }) => (operation === 'PutObject' && puts++ === lost ? 'reply-lost' : undefined),
      })
      await using store = await openStore('hf://buckets/my-org/vectors', { unsafe: true })
      for (const key of ['a', 'b', 'c']) {
        expect(await store.putIfAbsent(key, Buffer.from(`body of ${key}`))).toBe('created')
        expect(await store.putIfAbsent(key, Buffer.from('another body'))).toBe('exists')
      }
    },
  )

  test("that keeps no metadata and loses a reply: another writer's object of the same size is not the own one", async () => {
    let first = true
    await using server = await start({
      ...HUB,
      faults: ({ operation, key }) => {
        if (operation !== 'PutObject' || !first) return undefined
        first = false
        server.bucket('vectors').put(key, Buffer.from('theirs'))
        return 'reset'
      },
    })
    await using store = await openStore('hf://buckets/my-org/vectors', { unsafe: true })
    expect(await store.putIfAbsent('a', Buffer.from('ours!!'))).toBe('exists')
  })
})

describe('options of S3', () => {
  afterEach(() => vi.unstubAllEnvs())

  test('a requester pays, and a key of KMS encrypts, by their variables', async () => {
    await using server = await start({ buckets: ['vectors'] })
    vi.stubEnv('AWS_REQUEST_PAYER', 'requester')
    vi.stubEnv('AWS_SSE_KMS_KEY_ID', 'alias/mine')
    await using store = await openStore('s3://vectors', { unsafe: true })
    await store.putIfAbsent('a', Buffer.from('b'))
    await store.get('a')
    await store.head('a')
    await Array.fromAsync(store.list(''))
    expect(server.requests.map(({ headers }) => headers['x-amz-request-payer'])).toEqual(
      server.requests.map(() => 'requester'),
    )
    const [put] = server.requests
    expect(put?.headers['x-amz-server-side-encryption']).toBe('aws:kms')
    expect(put?.headers['x-amz-server-side-encryption-aws-kms-key-id']).toBe('alias/mine')
  })

  test('an anonymous read searches for no credentials and sends no signature', async () => {
    await using server = await start({ buckets: ['vectors'] })
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, undefined)
    vi.stubEnv('AWS_NO_SIGN_REQUEST', 'YES')
    await using store = await openStore('s3://vectors', { unsafe: true, s3: { tries: 1 } })
    // The test server refuses what is not signed.
    await expect(store.get('a')).rejects.toMatchObject({ code: 'STORE_ACCESS_DENIED' })
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
  })

  test('an access point is addressed by its ARN, in the region of the ARN', async () => {
    await using _ = await start({ buckets: ['vectors'] })
    const arn = 'arn:aws:s3:eu-west-1:123456789012:accesspoint/my-point'
    await using store = await openStore(`s3://${arn}/some/prefix`)
    expect(store.url).toBe(`s3://${arn}/some/prefix`)
  })

  test.each([
    's3://bucket--use1-az4--x-s3/a',
    's3://arn:aws:s3:eu-west-1:12:accesspoint/x/a',
    's3://arn:aws:s3',
  ])('%s is refused by name', async url => {
    await expect(openStore(url)).rejects.toMatchObject({ code: 'USAGE' })
  })
})
