// Requests to the Hub against servers on loopback: token, redirects, retries and bounds.

import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { withDeadlines } from '@reembed/shared'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createHubClient } from '../src/hub-client.ts'

const codes = { unreachable: 'STORE_UNREACHABLE', accessDenied: 'STORE_ACCESS_DENIED' } as const
const subject = 'dataset org/name'
const TOKEN = 'hf_this-is-the-secret'

const stack: AsyncDisposable[] = []
beforeEach(() => {
  vi.stubEnv('HF_TOKEN', TOKEN)
  vi.stubEnv('HF_ENDPOINT', '')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const each of stack.splice(0)) await each[Symbol.asyncDispose]()
})

async function listen(handle: RequestListener): Promise<string> {
  const server = createServer(handle).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.push({
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
    },
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A server that answers JSON and records the authorization of each request. */
async function recording(): Promise<{ url: string; seen: (string | undefined)[] }> {
  const seen: (string | undefined)[] = []
  const url = await listen((request, response) => {
    seen.push(request.headers.authorization)
    response.end('{}')
  })
  return { url, seen }
}

test('the host is huggingface.co, or the one of HF_ENDPOINT without its last slash', () => {
  expect(createHubClient({ codes }).endpoint).toBe('https://huggingface.co')
  vi.stubEnv('HF_ENDPOINT', 'https://mirror.example/hub/')
  expect(createHubClient({ codes }).endpoint).toBe('https://mirror.example/hub')
})

test('HF_TOKEN is sent to the host of HF_ENDPOINT and to no other host', async () => {
  const [mirror, other] = [await recording(), await recording()]
  vi.stubEnv('HF_ENDPOINT', `${mirror.url}/`)
  await createHubClient({ codes }).json('/a', { subject })
  await createHubClient({ codes, endpoint: other.url }).json('/a', { subject })
  await createHubClient({ codes, endpoint: other.url, token: 'given' }).json('/a', { subject })
  expect(mirror.seen).toEqual([`Bearer ${TOKEN}`])
  expect(other.seen).toEqual([undefined, 'Bearer given'])
})

test('a redirect to another host is followed without the token', async () => {
  const storage = await recording()
  const hub = await listen((_, response) =>
    response.writeHead(302, { location: `${storage.url}/blob` }).end(),
  )
  const client = createHubClient({ codes, endpoint: hub, token: TOKEN })
  expect(await client.text('/file', { subject })).toBe('{}')
  expect(storage.seen).toEqual([undefined])
})

test('a chain of redirects that leaves the host and returns to it carries no token', async () => {
  const seen: (string | undefined)[] = []
  let middle = ''
  const hub = await listen(({ url, headers }, response) => {
    seen.push(headers.authorization)
    if (url === '/again') response.end('{}')
    else response.writeHead(302, { location: `${middle}/a` }).end()
  })
  const far = await listen((_, response) => response.writeHead(307, { location: `${hub}/again` }).end())
  middle = await listen((_, response) => response.writeHead(308, { location: `${far}/b` }).end())
  const client = createHubClient({ codes, endpoint: hub, token: TOKEN })
  expect(await client.text('/file', { subject })).toBe('{}')
  expect(seen).toEqual([`Bearer ${TOKEN}`, undefined])
})

test('a redirect below the same host keeps the token', async () => {
  const seen: (string | undefined)[] = []
  const hub = await listen(({ url, headers }, response) => {
    seen.push(headers.authorization)
    if (url === '/moved') response.end('here')
    else response.writeHead(301, { location: '/moved' }).end()
  })
  expect(await createHubClient({ codes, endpoint: hub, token: TOKEN }).text('/file', { subject })).toBe(
    'here',
  )
  expect(seen).toEqual([`Bearer ${TOKEN}`, `Bearer ${TOKEN}`])
})

test.for([
  ['http://169.254.169.254/latest/meta-data/', 'a link-local address'],
  ['http://[::ffff:a9fe:a9fe]/', 'a link-local address'],
  ['//metadata.google.internal./computeMetadata/v1/', 'a link-local address'],
  ['http://100.100.100.200/', 'a link-local address'],
  ['file:///etc/passwd', 'no HTTP URL'],
  ['http://[', 'no HTTP URL'],
])('P-NO-METADATA: a redirect of the Hub to %s is not followed', async ([location = '', why = '']) => {
  let requests = 0
  const endpoint = await listen((_, response) => {
    requests += 1
    response.writeHead(302, { location }).end()
  })
  const own = { unreachable: 'ENDPOINT_UNREACHABLE', accessDenied: 'ENDPOINT_ACCESS_DENIED' } as const
  const alternative = 'give the folder of the model'
  const options = { endpoint, token: TOKEN, retries: 2, retryMs: 0 }
  await expect(
    createHubClient({ ...options, codes: own, alternative }).text('/file', { subject }),
  ).rejects.toMatchObject({
    code: 'ENDPOINT_ACCESS_DENIED',
    message: expect.stringMatching(new RegExp(`${why}: check HF_ENDPOINT.*, or ${alternative}$`)),
  })
  expect(requests).toBe(1)
})

test('a loop of redirects is a Hub that cannot be read: each attempt ends at the 11th', async () => {
  let requests = 0
  const endpoint = await listen((_, response) => {
    requests += 1
    response.writeHead(302, { location: '/' }).end()
  })
  const client = createHubClient({ codes, endpoint, retries: 1, retryMs: 0 })
  await expect(client.text('/file', { subject })).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    retry: 'requeue',
    message: expect.stringContaining('redirects for the 11th time'),
  })
  expect(requests).toBe(22)
})

test.for([
  ['http://hub.example', 'unencrypted'],
  ['http://169.254.169.254', 'link-local'],
  ['https://user:word@hub.example', 'no password'],
  ['ftp://hub.example', 'http:// or https://'],
])('a client for %s is refused', ([endpoint, message]) => {
  expect(() => createHubClient({ codes, endpoint, token: TOKEN })).toThrow(message)
  expect(() => createHubClient({ codes, endpoint, token: TOKEN })).not.toThrow(/hf_this|word@/)
})

test.for([
  [401, 'STORE_ACCESS_DENIED', 1, 'never'],
  [403, 'STORE_ACCESS_DENIED', 1, 'never'],
  [400, 'STORE_UNREACHABLE', 1, 'requeue'],
  [429, 'STORE_UNREACHABLE', 3, 'requeue'],
  [503, 'STORE_UNREACHABLE', 3, 'requeue'],
] as const)('HTTP %i is %s after %i requests', async ([status, code, requests, retry]) => {
  let count = 0
  const endpoint = await listen((_, response) => {
    count++
    response.writeHead(status).end()
  })
  const client = createHubClient({ codes, endpoint, retries: 2, retryMs: 0, alternative: 'give a folder' })
  await expect(client.json('/a', { subject })).rejects.toMatchObject({
    code,
    retry,
    message: expect.stringMatching(
      new RegExp(`Hub at ${endpoint} .*dataset org/name.*: .*, or give a folder$`),
    ),
  })
  expect(count).toBe(requests)
})

test('a missing file is undefined for text and json, and a reply for request', async () => {
  const endpoint = await listen((_, response) => response.writeHead(404).end('none'))
  const client = createHubClient({ codes, endpoint })
  expect(await client.text('/a', { subject })).toBeUndefined()
  expect(await client.json('/a', { subject })).toBeUndefined()
  expect((await client.request('/a', { subject })).status).toBe(404)
})

test('a reply that does not begin, or does not end, in time is unreachable', async () => {
  const silent = await listen(() => {})
  const stalled = await listen((_, response) => response.writeHead(200).write('{'))
  for (const endpoint of [silent, stalled]) {
    const client = withDeadlines({ timeoutMs: 400 }, () => createHubClient({ codes, endpoint }))
    await expect(client.json('/a', { subject })).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining('(no reply for 0.1 s)'),
    })
  }
})

test('a body that comes byte by byte is broken off, however often its sender sends', async () => {
  const endpoint = await listen((_, response) => {
    response.writeHead(200)
    const drip = setInterval(() => response.write('1'), 10)
    response.on('close', () => clearInterval(drip))
  })
  const client = withDeadlines({ timeoutMs: 400 }, () => createHubClient({ codes, endpoint, retries: 4 }))
  const startedMs = performance.now()
  await expect(client.text('/a', { subject })).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  expect(performance.now() - startedMs).toBeLessThan(15_000)
})

test('all attempts at a silent Hub take no longer than the time of one call', async () => {
  const endpoint = await listen(() => {})
  const client = withDeadlines({ timeoutMs: 400 }, () =>
    createHubClient({ codes, endpoint, retries: 200, retryMs: 0 }),
  )
  const startedMs = performance.now()
  await expect(client.json('/a', { subject })).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  // 200 attempts of 0.1 s would take 20 s.
  expect(performance.now() - startedMs).toBeLessThan(10_000)
})

test('a body larger than 32 MiB is refused', async () => {
  const mebibyte = Buffer.alloc(1024 * 1024)
  const endpoint = await listen((_, response) => {
    for (let i = 0; i < 33; i++) response.write(mebibyte)
    response.end()
  })
  await expect(createHubClient({ codes, endpoint }).text('/a', { subject })).rejects.toThrow('longer than')
})

test('an abort ends a request with the reason of its signal', async () => {
  const endpoint = await listen(() => {})
  const stop = new AbortController()
  const reading = createHubClient({ codes, endpoint, retries: 9 }).json('/a', {
    subject,
    signal: stop.signal,
  })
  stop.abort(new Error('stopped'))
  await expect(reading).rejects.toThrow('stopped')
})
