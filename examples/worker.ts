// A worker in your own process. Run as many as you like: on SIGTERM each finishes what it has
// begun.
//
//   OUTPUT=s3://vectors/wiki REDIS_URL=rediss://redis:6379 ENDPOINT=http://tei:8080 PORT=8000 node worker.ts

import { createServer } from 'node:http'
import { createReembed, type Logger } from 'reembed'

const { OUTPUT = './vectors', REDIS_URL, ENDPOINT, PORT = '8000' } = process.env

// Any logger with these four methods fits, one of pino for example.
const line = (level: string) => (facts: object, message: string) =>
  console.log(level, message, JSON.stringify(facts))
const log: Logger = { debug() {}, info: line('info'), warn: line('warn'), error: line('error') }

await using reembed = createReembed({ output: OUTPUT, redis: REDIS_URL, endpoint: ENDPOINT, log })
const worker = await reembed.startWorker({
  concurrency: 4,
  // A dead connection to Redis: leave, so that the supervisor starts a new process.
  onStuck: () => process.exit(1),
})

// For a readiness probe.
const server = createServer((_, response) => {
  response.writeHead(worker.notReadyReason === null ? 200 : 503)
  response.end(worker.notReadyReason ?? worker.endpointState)
})
server.listen(Number(PORT))

const stopped = Promise.withResolvers<void>()
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stopped.resolve())
await stopped.promise
await worker.drain(20_000)
server.close()
