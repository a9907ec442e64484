// The endpoint, S3 and the Hub through a forward proxy. The names of the servers resolve only in
// the proxy, so a client that connects directly fails.

import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { startFaultyLink, startS3Server } from '@reembed/testing'
import { expect, test } from 'vitest'
import { documents, flags, reembed, temporaryFolder, writeJsonl } from './parts/cli.ts'

interface Proxy extends AsyncDisposable {
  readonly url: string
  /** The hosts that were asked for. */
  readonly hosts: Set<string>
}

/** A forward proxy that knows these names. */
async function startProxy(names: Readonly<Record<string, string>>): Promise<Proxy> {
  const hosts = new Set<string>()
  const targetOf = (host: string): URL | undefined => {
    hosts.add(host)
    return names[host] === undefined ? undefined : new URL(names[host])
  }
  const server = createServer((received, reply) => {
    const { host, pathname, search } = new URL(received.url ?? '')
    const target = targetOf(host)
    if (target === undefined) {
      reply.writeHead(404).end()
      return
    }
    const { hostname, port } = target
    const { method, headers } = received
    const sent = request({ hostname, port, method, headers, path: pathname + search }, answer => {
      reply.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(reply)
    })
    sent.on('error', () => reply.destroy())
    received.pipe(sent)
  })
  server.on('connect', (received, socket) => {
    const target = targetOf(received.url ?? '')
    if (target === undefined) {
      socket.end('HTTP/1.1 404 Not Found\r\n\r\n')
      return
    }
    const { hostname, port } = target
    const upstream = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.pipe(socket).pipe(upstream)
    })
    upstream.on('error', () => socket.destroy())
    socket.on('error', () => upstream.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hosts,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

test('a run reaches its endpoint and S3 through HTTP_PROXY, and Redis directly', async () => {
  await using folder = await temporaryFolder()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  await using s3 = await startS3Server({ buckets: ['vectors'] })
  await using redis = await startRedis()
  await using proxy = await startProxy({ 'tei.test:8080': tei.url, 's3.test:9000': s3.endpoint })
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(40))
  const env = { ...s3.env, AWS_ENDPOINT_URL_S3: 'http://s3.test:9000', HTTP_PROXY: proxy.url }
  const where = { output: 's3://vectors/wiki', endpoint: 'http://tei.test:8080', redis: redis.url }
  const { code, stderr } = await reembed(['run', ...flags({ source, ...where })], env)
  expect([code, stderr]).toEqual([0, expect.any(String)])
  expect([...proxy.hosts].sort()).toEqual(['s3.test:9000', 'tei.test:8080'])

  const direct = await reembed(['run', ...flags({ source, ...where })], { ...env, NO_PROXY: '.test' })
  expect(direct.stderr).toMatch(/s3\.test/)
  expect(direct.code).toBe(5)
})

test('the Hub is reached through the proxy', async () => {
  await using proxy = await startProxy({})
  const env = { HTTP_PROXY: proxy.url, HF_ENDPOINT: 'http://hub.test:8000' }
  await reembed(['plan', '--source', 'hf://datasets/acme/wiki'], env)
  expect([...proxy.hosts]).toEqual(['hub.test:8000'])
})

test('servers on this machine are never behind the proxy', async () => {
  await using folder = await temporaryFolder()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  await using redis = await startRedis()
  await using proxy = await startProxy({})
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(5))
  const args = flags({ source, output: join(folder.path, 'out'), endpoint: tei.url, redis: redis.url })
  const { code, stderr } = await reembed(['run', ...args], { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url })
  expect([code, stderr]).toEqual([0, expect.any(String)])
  expect(proxy.hosts.size).toBe(0)
})

test('a proxy that is not a URL is refused by name, and its value is not printed', async () => {
  const { code, stderr } = await reembed(['--help'], { https_proxy: 'me:secret@proxy:3128' })
  expect(stderr).toBe(
    'reembed: HTTPS_PROXY is not an http:// or https:// URL: set it to the URL of the proxy, for example http://proxy:3128\n',
  )
  expect(code).toBe(2)
})

test('a proxy that accepts connections and stays silent is an error in time', async () => {
  await using folder = await temporaryFolder()
  await using server = await startS3Server()
  const target = Number(new URL(server.endpoint).port)
  await using silent = await startFaultyLink({ target, fault: 'silent' })
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(5))
  const HTTP_PROXY = `http://127.0.0.1:${silent.port}`
  const s3 = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' }
  for (const [args, env] of [
    [['plan', '--source', source, '--endpoint', 'http://tei.test:8080'], {}],
    [['versions', '--output', 's3://test/out'], { ...s3, AWS_ENDPOINT_URL_S3: 'http://s3.test:9000' }],
    [['plan', '--source', 'hf://datasets/acme/wiki'], { HF_ENDPOINT: 'http://hub.test:8000' }],
  ] as const) {
    const { code, stderr } = await reembed([...args, '--timeout', '1'], { ...env, HTTP_PROXY })
    expect({ code, stderr }).toMatchObject({ code: 5, stderr: expect.stringMatching(/\w+\.test/) })
    expect(stderr).toMatch(/^waiting for /m)
  }
})
