// Keys and certificates, made with openssl.

import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/** Makes a certificate authority: `<name>.crt` and `<name>.key` in `folder`. */
export async function makeCa(folder: string, name: string): Promise<KeyPair> {
  const pair = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) }
  await run('openssl', [
    ...['req', '-x509', ...EC, '-days', '30', '-subj', `/CN=${name}`],
    ...['-keyout', pair.key, '-out', pair.cert],
  ])
  return pair
}

/**
 * Makes a certificate that `ca` signed, for servers and clients.
 * @param alternatives for example `DNS:localhost`, `IP:127.0.0.1`
 */
export async function makeCertificate(
  folder: string,
  name: string,
  ca: KeyPair,
  alternatives: readonly string[],
): Promise<KeyPair> {
  const pair = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) }
  const request = join(folder, `${name}.csr`)
  const extensions = join(folder, `${name}.ext`)
  await run('openssl', ['req', ...EC, '-subj', `/CN=${name}`, '-keyout', pair.key, '-out', request])
  await writeFile(
    extensions,
    `subjectAltName=${alternatives.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`,
  )
  await run('openssl', [
    ...['x509', '-req', '-in', request, '-CA', ca.cert, '-CAkey', ca.key, '-CAcreateserial'],
    ...['-days', '30', '-extfile', extensions, '-out', pair.cert],
  ])
  await Promise.all([rm(request), rm(extensions)])
  return pair
}

/** Makes the key pair that signs the tokens of service accounts. */
export async function makeSigningKey(
  folder: string,
): Promise<{ readonly key: string; readonly publicKey: string }> {
  const key = join(folder, 'service-accounts.key')
  const publicKey = join(folder, 'service-accounts.pub')
  await run('openssl', ['genrsa', '-out', key, '2048'])
  await run('openssl', ['rsa', '-in', key, '-pubout', '-out', publicKey])
  return { key, publicKey }
}
