// A web service that enqueues corpora. Workers elsewhere embed them.
//
//   POST /runs {"source": "s3://corpora/wiki/"}   -> 202 {"run": "…", "enqueued": 42}
//   GET  /runs/<run>                              -> 200 {"state": "running", "shards": 42, "shardsDone": 17}
//
//   OUTPUT=s3://vectors/wiki REDIS_URL=rediss://redis:6379 ENDPOINT=http://tei:8080 PORT=8001 node enqueue-service.ts

import { createServer, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { createReembed, isReembedError } from 'reembed'

const { OUTPUT = './vectors', REDIS_URL, ENDPOINT, PORT = '8001' } = process.env

await using reembed = createReembed({ output: OUTPUT, redis: REDIS_URL, endpoint: ENDPOINT })

async function answer(request: IncomingMessage): Promise<[status: number, body: object]> {
  const run = /^\/runs\/([a-z2-7]+)$/.exec(request.url ?? '')?.[1]
  if (request.method === 'GET' && run !== undefined) {
    const { state, shards, shardsDone, documents } = await reembed.status(run)
    return [200, { state, shards, shardsDone, documents }]
  }
  if (request.method === 'POST' && request.url === '/runs') {
    const { source } = (await json(request)) as { source: string }
    // Planning a large corpus takes a while: an abort would end it, and the same request would
    // continue.
    return [202, await reembed.enqueue(source, { signal: AbortSignal.timeout(120_000) })]
  }
  return [404, { error: 'not found' }]
}

/** The caller's faults are 4xx, what may pass is 503. */
function failure(error: unknown): [status: number, body: object] {
  if (!isReembedError(error)) return [500, { error: 'internal error' }]
  const body = { error: error.message, code: error.code, option: error.option }
  if (error.retry === 'requeue') return [503, body]
  switch (error.code) {
    case 'RUN_NOT_FOUND':
    case 'SOURCE_NOT_FOUND':
      return [404, body]
    case 'USAGE':
    case 'SOURCE_EMPTY':
    case 'SOURCE_FORMAT':
    case 'FIELD_NOT_FOUND':
      return [400, body]
    case 'RUN_STOPPED':
      return [409, body]
    default:
      return [500, body]
  }
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch(failure)
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
})
server.listen(Number(PORT))

const stopped = Promise.withResolvers<void>()
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stopped.resolve())
await stopped.promise
server.close()
