// An HTTP server on a free port of this machine, for a stand-in.

import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface HttpStandIn extends AsyncDisposable {
  readonly url: string
}

/** Disposal resets the open connections. */
export async function serveHttp(listener: RequestListener): Promise<HttpStandIn> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
