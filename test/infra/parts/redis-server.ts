// A redis-server with the given configuration.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

export interface RedisServer extends AsyncDisposable {
  readonly port: number
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Starts `redis-server` in `folder` and resolves when it accepts connections. */
export async function startRedisServer(
  folder: string,
  args: readonly string[],
  given?: number,
): Promise<RedisServer> {
  const port = given ?? (await freePort())
  const child = spawn(
    'redis-server',
    [...args, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--daemonize', 'no'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = once(child, 'exit')
  let log = ''
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', data => {
      log += data
      if (/ready to accept connections|sentinel id is/i.test(log)) resolve()
    })
    exited.then(() => reject(new Error(`redis-server ended:\n${log}`)), reject)
  })
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}
