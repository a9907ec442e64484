import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tokenFor } from '@reembed/shared'
import { expect, test } from 'vitest'
import { createHf, type HfEndpoint } from '../src/hf/api.ts'

const both = { endpoint: 'given', huggingFace: 'hub' }

test.each([
  ['hf:acme/bge', 'hub'],
  ['https://x.us-east-1.aws.endpoints.huggingface.cloud', 'hub'],
  ['https://router.huggingface.co/hf-inference', 'hub'],
  ['https://a.endpoints.huggingface.cloud, https://b.endpoints.huggingface.cloud', 'hub'],
  ['dns+https://A.ENDPOINTS.HUGGINGFACE.CLOUD', 'hub'],
  ['https://a.endpoints.huggingface.cloud,https://tei.example', undefined],
  ['http://tei:8080', undefined],
  ['https://huggingface.cloud.example', undefined],
  ['https://evilhuggingface.co', undefined],
  ['https://acme-bge.hf.space', undefined],
  ['https://huggingface.co@tei.example', undefined],
  ['https://user:x@tei.example/huggingface.co', undefined],
  ['https://huggingface.co.:443', undefined],
  ['https://huggingface.co%2e.tei.example', undefined],
  ['https://tei.example:443/#https://huggingface.co', undefined],
  ['https://[::ffff:10.0.0.5]', undefined],
  ['https://hugg\u0456ngface.co', undefined],
  ['https://HuggingFace.CO', 'hub'],
  ['https://huggingface.co:8443', 'hub'],
  ['hf:acme/bge,https://tei.example', undefined],
  ['not a url', undefined],
  [undefined, undefined],
])('the token of Hugging Face for %s is %s; a given token is sent instead', (endpoint, expected) => {
  expect(tokenFor(endpoint, { huggingFace: 'hub' })).toBe(expected)
  expect(tokenFor(endpoint, both)).toBe('given')
  expect(tokenFor(endpoint, {})).toBeUndefined()
})

test('a health route leads no request of the management API to another host', async () => {
  const seen: string[] = []
  const server = createServer(({ url = '', headers }, response) => {
    seen.push(`${headers.authorization} ${url}`)
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const hf = createHf({ token: 'secret' })
  const ping = (url: string, healthRoute: string): Promise<boolean> =>
    hf.ping({ url, healthRoute } as HfEndpoint)
  for (const route of [`@127.0.0.1:${port}/`, `//127.0.0.1:${port}/`, `http://127.0.0.1:${port}/`])
    expect(await ping('http://localhost:1', route)).toBe(false)
  expect(seen).toEqual([])
  expect(await ping(`http://127.0.0.1:${port}`, '/health')).toBe(true)
  expect(seen).toEqual(['Bearer secret /health'])
  await expect(ping('http://tei.example', '/health')).rejects.toThrow(/unencrypted/)
  server.close()
  server.closeAllConnections()
})
