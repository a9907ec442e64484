import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createHttpClient, REPLY_TOO_LONG, ReembedError } from '@reembed/shared'
import { expect, test } from 'vitest'
import { type PagedIndex, pagesAtPointInTime, pagesOfScroll } from '../src/stores/elasticsearch-pages.ts'

const DOCUMENTS = 100
/** A reply takes this much; a document of the range takes `large`, and any other one 1. */
const REPLY = 40

/** An index whose documents 20 to 29 are large. */
function indexOf(large: number): { readonly paged: PagedIndex; readonly sizes: number[] } {
  const sizes: number[] = []
  const lengthOf = (n: number): number => (n >= 20 && n < 30 ? large : 1)
  let position = 0
  const page = (from: number, size: number) => {
    sizes.push(size)
    const numbers = Array.from({ length: Math.min(size, DOCUMENTS - from) }, (_, i) => from + i)
    if (numbers.reduce((sum, n) => sum + lengthOf(n), 0) > REPLY)
      throw new ReembedError('STORE_UNREACHABLE', 'a long body', { reason: REPLY_TOO_LONG })
    position = from + numbers.length
    return { _scroll_id: 's', hits: { hits: numbers.map(n => ({ _id: String(n), sort: [n] })) } }
  }
  async function request(method: string, path: string, { json = {} }: { readonly json?: unknown } = {}) {
    const { size = 32, search_after: after } = json as { size?: number; search_after?: number[] }
    if (method === 'DELETE') return { status: 200, body: {} }
    if (path.includes('point_in_time')) return { status: 200, body: { pit_id: 'p' } }
    if (path.includes('scroll')) return { status: 200, body: page(position, size) }
    return { status: 200, body: page(after ? Number(after[0]) + 1 : 0, size) }
  }
  const client = { address: 'opensearch+http://host:9200', request }
  return { paged: { client, index: 'docs', search: { size: 32, _source: {} } }, sizes }
}

test('each document is read once when a page of them exceeds a reply, and pages grow again', async () => {
  const { paged, sizes } = indexOf(15)
  const hits = (await Array.fromAsync(pagesAtPointInTime(paged))).flat()
  expect(hits.map(({ _id }) => _id)).toEqual(Array.from({ length: DOCUMENTS }, (_, i) => String(i)))
  expect(Math.min(...sizes)).toBe(2)
  expect(sizes.at(-1)).toBeGreaterThan(8)
})

test('a document that exceeds a reply alone is named', async () => {
  await expect(Array.fromAsync(pagesAtPointInTime(indexOf(41).paged))).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining("the document after 19 of the index 'docs'"),
  })
})

test('a page of a scroll that exceeds a reply is refused with the limit', async () => {
  await expect(Array.fromAsync(pagesOfScroll(indexOf(15).paged))).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(/^32 documents of the index 'docs' .* exceed a reply of 33554432 bytes/),
  })
})

test('the next page of a scroll is not asked for again when its reply is lost', async () => {
  const requests: string[] = []
  const server = createServer((request, reply) => {
    requests.push(`${request.method} ${request.url}`)
    if (request.method === 'POST' && request.url === '/_search/scroll') request.socket.destroy()
    else reply.end(JSON.stringify({ _scroll_id: 's', hits: { hits: [{ _id: 'a' }] } }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = createHttpClient(`opensearch+http://127.0.0.1:${(server.address() as AddressInfo).port}`, {})
  const paged = { client, index: 'docs', search: { size: 1, _source: {} } }
  await expect(Array.fromAsync(pagesOfScroll(paged))).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: expect.stringContaining('a page of the scroll may be lost: read the index'),
  })
  expect(requests).toEqual([
    'POST /docs/_search?scroll=10m',
    'POST /_search/scroll',
    'DELETE /_search/scroll',
  ])
  server.closeAllConnections()
  server.close()
})
