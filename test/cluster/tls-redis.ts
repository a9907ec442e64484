// A Redis as a platform team runs it: TLS by a private authority, and the users of
// infra/redis/users.acl.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '@reembed/local'
import { repository } from '../infra/parts/chart.ts'
import { startRedisServer } from '../infra/parts/redis-server.ts'
import { makeCa, makeCertificate } from './pki.ts'

export interface TlsRedis extends AsyncDisposable {
  /** The certificate of the authority, in PEM. */
  readonly authority: string
  /** Address and Secret for one database of it. */
  at(database: number): { readonly url: string; readonly secret: Readonly<Record<string, string>> }
}

/** Starts a redis-server that accepts TLS only, with keys and data in `folder`. */
export async function startTlsRedis(folder: string): Promise<TlsRedis> {
  const ca = await makeCa(folder, 'private-ca')
  const { cert, key } = await makeCertificate(folder, 'redis', ca, ['DNS:localhost', 'IP:127.0.0.1'])
  const users = await readFile(join(repository, 'infra/redis/users.acl'), 'utf8')
  const acl = join(folder, 'users.acl')
  await writeFile(acl, users.replaceAll(/@\w+_PASSWORD@/g, 'p%40ss'))
  const port = await freePort()
  const server = await startRedisServer(folder, [
    ...['--tls-port', String(port), '--tls-cert-file', cert, '--tls-key-file', key],
    ...['--tls-ca-cert-file', ca.cert, '--tls-auth-clients', 'no', '--aclfile', acl],
  ])
  const address = `localhost:${port}`
  return {
    authority: await readFile(ca.cert, 'utf8'),
    at(database) {
      const url = `rediss://reembed:${encodeURIComponent('p%40ss')}@${address}/${database}`
      return { url, secret: { url, address, username: 'keda', password: 'p%40ss', tls: 'enable' } }
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
