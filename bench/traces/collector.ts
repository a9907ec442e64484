// A collector in a process of its own: counts the spans of requests in what it gets, and says how
// many on GET.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

let spans = 0
const server = createServer(async (request, response) => {
  if (request.method === 'POST')
    spans += (await buffer(request)).toString('latin1').split('gen_ai.operation.name').length - 1
  response.end(String(spans))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
