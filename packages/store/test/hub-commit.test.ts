// Resolving a branch of the Hub to its commit, against a stand-in over HTTP.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resolveCommit } from '../src/hub-commit.ts'

const commit = 'a5beb1e3e68b9ab74eb54cfd186867f64f240e1a'
const token = 'hf_this-is-the-secret'
const server = createServer((request, response) => {
  const known: Record<string, [number, object]> = {
    '/api/models/acme/bge/revision/main': [200, { id: 'acme/bge', sha: commit }],
    '/api/models/acme/bge/revision/feature%2Fx': [200, { sha: commit }],
    '/api/models/acme/gated/revision/main': [403, { error: 'gated' }],
    '/api/models/acme/broken/revision/main': [500, {}],
  }
  const [status, body] =
    request.headers.authorization === `Bearer ${token}` ? (known[request.url ?? ''] ?? [404, {}]) : [401, {}]
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
})
let url: string
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

test('resolveCommit returns the commit of a branch, and a commit without a request', async () => {
  expect(await resolveCommit('acme/bge', undefined, { url, token })).toBe(commit)
  expect(await resolveCommit('acme/bge', 'feature/x', { url, token })).toBe(commit)
  expect(await resolveCommit('acme/bge', commit, { url: 'http://127.0.0.1:1', token })).toBe(commit)
})

test.for([
  ['acme/bgee', token, 'USAGE', /has no model 'acme\/bgee' with revision 'main': check both names/],
  [
    'acme/bge',
    undefined,
    'ENDPOINT_ACCESS_DENIED',
    /model acme\/bge .*\(HTTP 401\): check the name, and set HF_TOKEN/,
  ],
  [
    'acme/gated',
    token,
    'ENDPOINT_ACCESS_DENIED',
    /model acme\/gated .*\(HTTP 403\): request access on its page/,
  ],
  [
    'acme/broken',
    token,
    'ENDPOINT_UNREACHABLE',
    /HTTP 500 for model acme\/broken at revision main: try again later/,
  ],
] as const)(
  'resolveCommit names what failed and the fix, without the token, for %s',
  async ([model, token, code, message]) => {
    const error = await resolveCommit(model, undefined, { url, token }).catch((error: unknown) => error)
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(String(error)).not.toContain('hf_this')
  },
)

test('resolveCommit fails with the address and the cause when the Hub does not answer', async () => {
  const closed = createServer()
  closed.listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const gone = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`
  closed.close()
  await once(closed, 'close')
  await expect(resolveCommit('acme/bge', 'main', { url: gone })).rejects.toThrow(
    `Cannot read model acme/bge at revision main from the Hub at ${gone} (ECONNREFUSED)`,
  )
})
