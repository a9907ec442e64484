// A process that may open no more files blames neither the store, nor Redis, nor the endpoint.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

/** Opens files until no more can be opened, then opens each dependency, and prints the errors. */
const SCRIPT = `
import { openSync } from 'node:fs'
import { openEndpoint } from '@reembed/endpoint'
import { openVectorStore, switchStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
const [port, folder] = process.argv.slice(1)
const store = await openStore(folder)
const s3 = await openStore('s3://bucket/x', { s3: { endpoint: 'http://127.0.0.1:' + port } })
const vectors = await openVectorStore('qdrant+http://127.0.0.1:' + port)
const errors = {}
const from = (name, work) => work().catch(error => { errors[name] = [error.code, error.message] })
// What is loaded on demand must be loaded before.
await Promise.allSettled([s3.head('a'), openEndpoint('http://127.0.0.1:1', { timeoutMs: 100 }), vectors.current('x')])
try { while (true) openSync('/dev/null') } catch {}
await from('folder', () => store.get('package.json'))
await from('S3', () => s3.head('a'))
await from('endpoint', () => openEndpoint('http://127.0.0.1:' + port, { timeoutMs: 2_000 }))
await from('vector store', () => vectors.current('x'))
console.log(JSON.stringify(errors))
process.exit()
`

test('the limit of open files is named, and no dependency is blamed', async () => {
  const server = createServer(socket => socket.destroy()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const node = [process.execPath, '--conditions=@reembed/source', '--input-type=module', '-e', SCRIPT]
  const env = { ...process.env, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' }
  const { stdout } = await promisify(execFile)(
    'sh',
    ['-c', 'ulimit -n 200; exec "$@"', 'sh', ...node, String(port), import.meta.dirname],
    { env, cwd: import.meta.dirname },
  )
  server.close()
  const reason = expect.stringMatching(
    /this process may not open more files or connections \(EMFILE\): raise/,
  )
  expect(JSON.parse(stdout)).toEqual({
    folder: ['STORE_ACCESS_DENIED', reason],
    S3: ['STORE_ACCESS_DENIED', reason],
    endpoint: ['ENDPOINT_ACCESS_DENIED', reason],
    'vector store': ['STORE_ACCESS_DENIED', reason],
  })
})
