// Where the S3 test server redirects reads to: another origin, as a CDN. It has an etag of its own,
// and refuses requests that carry credentials.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Bucket, rangeOf } from './s3-objects.ts'

export interface Edge extends AsyncDisposable {
  readonly origin: string
  /** The names of the headers of each request. */
  readonly requests: readonly (readonly string[])[]
}

export async function startEdge(bucketOf: (name: string) => Bucket | undefined): Promise<Edge> {
  const requests: string[][] = []
  const server = createServer(({ url = '', headers }, response) => {
    requests.push(Object.keys(headers))
    const query = new URL(url, 'http://edge').searchParams
    const stored = bucketOf(query.get('name') ?? '')?.get(query.get('key') ?? '')
    if (headers.authorization !== undefined || Object.keys(headers).some(name => name.startsWith('x-amz-'))) {
      response.writeHead(400).end()
      return
    }
    if (!stored) {
      response.writeHead(404).end()
      return
    }
    const size = stored.body.length
    const range = headers.range === undefined ? { start: 0, end: size } : rangeOf(headers.range, size)
    if (!range) {
      response.writeHead(416).end()
      return
    }
    const body = stored.body.subarray(range.start, range.end)
    response.writeHead(headers.range === undefined ? 200 : 206, {
      etag: '"of-the-edge"',
      'content-length': body.length,
      ...(headers.range !== undefined && {
        'content-range': `bytes ${range.start}-${range.end - 1}/${size}`,
      }),
    })
    response.end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
