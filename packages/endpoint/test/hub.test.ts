// A branch of the Hub becomes a commit, against a stand-in over HTTP.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resolveCommit } from '../src/hf/hub.ts'

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

test('a branch is resolved to its commit; a commit needs nobody to ask', async () => {
  expect(await resolveCommit('acme/bge', undefined, { url, token })).toBe(commit)
  expect(await resolveCommit('acme/bge', 'feature/x', { url, token })).toBe(commit)
  expect(await resolveCommit('acme/bge', commit, { url: 'http://127.0.0.1:1', token })).toBe(commit)
})

test.for([
  [
    'acme/bgee',
    token,
    'USAGE',
    /no model 'acme\/bgee' with the revision 'main' on .*, or HF_TOKEN may not see/,
  ],
  ['acme/bge', undefined, 'USAGE', /no model 'acme\/bge'.*or it is private and wants HF_TOKEN/],
  ['acme/gated', token, 'ENDPOINT_ACCESS_DENIED', /HF_TOKEN has no access to it/],
  ['acme/broken', token, 'ENDPOINT_UNREACHABLE', /which commit 'main' of 'acme\/broken' is \(HTTP 500\)/],
] as const)(
  '%s: one line that says what is wrong, without the token',
  async ([model, token, code, message]) => {
    const error = await resolveCommit(model, undefined, { url, token }).catch((error: unknown) => error)
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(String(error)).not.toContain('hf_this')
  },
)

test('a Hub that does not answer is said so', async () => {
  const closed = createServer()
  closed.listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const gone = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`
  closed.close()
  await once(closed, 'close')
  await expect(resolveCommit('acme/bge', 'main', { url: gone })).rejects.toThrow(
    `the Hub at ${gone} does not answer (ECONNREFUSED)`,
  )
})
