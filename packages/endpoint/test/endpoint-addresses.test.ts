import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import { startScriptedEndpoint } from '@reembed/testing'
import { expect, test } from 'vitest'
import { openTarget } from '../src/client/endpoint.ts'
import { parseTargets } from '../src/client/targets.ts'

test('one URL is one place, whatever stands behind it', async () => {
  const addresses = parseTargets('http://tei:8080/v1/embeddings')
  expect([addresses.name, addresses.isReplicated]).toEqual(['http://tei:8080', false])
  expect(await addresses.resolve()).toEqual([
    { label: 'http://tei:8080', url: 'http://tei:8080/v1/embeddings' },
  ])
})

test('a list is the same endpoint in any order, so that workers share one limit', async () => {
  const addresses = parseTargets(
    'http://b:8080, http://a:8080/,http://b:8080,http://b:8080/v1/embeddings,http://b:8080',
  )
  expect([addresses.name, addresses.isReplicated]).toEqual(['http://a:8080,http://b:8080', true])
  expect(addresses.name).toBe(parseTargets('http://a:8080,http://b:8080').name)
  expect((await addresses.resolve()).map(({ label }) => label)).toEqual(['http://a:8080', 'http://b:8080'])
})

test('a name is a place at each of its addresses, and keeps them while it cannot be resolved', async () => {
  let answer: string[] | Error = ['10.0.0.7', 'fd12::7', '10.0.0.7']
  const addresses = parseTargets('dns+https://tei.ns/base', {
    resolve: async hostname => {
      expect(hostname).toBe('tei.ns')
      if (answer instanceof Error) throw answer
      return answer
    },
  })
  expect([addresses.name, addresses.isReplicated]).toEqual(['dns+https://tei.ns/base', true])
  const url = 'https://tei.ns/base'
  const both = [
    { label: `${url} (10.0.0.7)`, url, address: '10.0.0.7' },
    { label: `${url} (fd12::7)`, url, address: 'fd12::7' },
  ]
  expect(await addresses.resolve()).toEqual(both)
  answer = new Error('SERVFAIL')
  expect(await addresses.resolve()).toEqual(both)
  answer = []
  expect(await addresses.resolve()).toEqual(both)
  answer = ['10.0.0.8']
  expect((await addresses.resolve()).map(({ address }) => address)).toEqual(['10.0.0.8'])
})

test('a name that was never resolved is an endpoint to wait for', async () => {
  const resolve = async (): Promise<never> => Promise.reject(new Error('getaddrinfo ENOTFOUND tei.ns'))
  await expect(parseTargets('dns+http://tei.ns', { resolve }).resolve()).rejects.toMatchObject({
    code: 'ENDPOINT_UNREACHABLE',
    retry: 'requeue',
    message: 'tei.ns has no address (getaddrinfo ENOTFOUND tei.ns): correct the URL or its DNS record',
  })
  // Others in the list can be used meanwhile.
  const mixed = parseTargets('dns+http://tei.ns,http://a:8080', { resolve })
  expect((await mixed.resolve()).map(({ url }) => url)).toEqual(['http://a:8080'])
})

test.each(['169.254.169.254', 'fe80::1', '::ffff:169.254.169.254', 'elsewhere'])(
  'a name that leads to %s is refused',
  async at => {
    await expect(
      parseTargets('dns+http://tei.ns', { resolve: async () => [at] }).resolve(),
    ).rejects.toMatchObject({ code: 'ENDPOINT_UNSUPPORTED', message: expect.stringContaining(at) })
  },
)

test.each([
  ['http://a:8080,ftp://b', 'the endpoint must be an http:// or https:// URL'],
  ['http://a:8080,', 'the endpoint must be an http:// or https:// URL'],
  ['dns+http://169.254.169.254', 'is a link-local address'],
])('%s is refused at once', (given, message) => {
  expect(() => parseTargets(given)).toThrow(message)
})

test('a token is refused for any replica over plain HTTP', () => {
  expect(() => parseTargets('https://a,dns+http://b', { token: 'secret' })).toThrow('unencrypted')
})

test('a replica is reached at its address under the name of the endpoint', async () => {
  await using server = await startScriptedEndpoint()
  const { port } = new URL(server.url)
  const url = `http://tei.invalid:${port}`
  await using endpoint = await openTarget({ label: `${url} (127.0.0.1)`, url, address: '127.0.0.1' }, {})
  expect(server.calls.map(({ headers }) => headers.host)).toEqual(
    server.calls.map(() => `tei.invalid:${port}`),
  )
  expect(server.calls.length).toBeGreaterThan(0)
  expect(endpoint.url).toBe(`${url} (127.0.0.1)`)
})

test('its certificate is asked for by that name', async () => {
  const names: string[] = []
  // The server has no certificate, but the ClientHello already names the host.
  const server = createServer({
    SNICallback: (name, done) => {
      names.push(name)
      done(null)
    },
  })
  server.on('tlsClientError', () => {})
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const url = `https://tei.invalid:${port}`
  await expect(openTarget({ label: url, url, address: '127.0.0.1' }, {})).rejects.toThrow()
  expect(names).toEqual(['tei.invalid'])
  server.close()
})
