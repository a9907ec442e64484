// Hooks as bytes of a connection. Each connection ends, and only a request with the secret, or with
// a signature made with it, is accepted.

import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type Hooks, serveHooks } from '@reembed/producer'
import { must, type Target } from '../target.ts'

const SECRET = 'a-secret-of-the-fuzzer'
/** Stand for the secret, and for a right signature, in an input. */
const SECRET_MARK = '$SECRET'
const SIGNATURE_MARK = '$SIGNATURE'
const NOW_S = 1_764_000_000
const ENDS_WITHIN_MS = 2_000

let served: Promise<Hooks> | undefined
const hooks = (): Promise<Hooks> => {
  served ??= serveHooks({
    listen: '127.0.0.1:0',
    secret: SECRET,
    debounceMs: 0,
    now: () => NOW_S * 1_000,
    onHook: () => {},
  })
  return served
}

const request = (path: string, headers: readonly string[], body: string): string =>
  [`POST /hooks/${path} HTTP/1.1`, 'Host: h', ...headers, `Content-Length: ${body.length}`, '', body].join(
    '\r\n',
  )

/** The signature that MLflow would send: of the id and the time of the headers, and the body. */
function signatureOf(text: string): string {
  const header = (name: string): string => new RegExp(`${name}: *([^\r\n]*)`, 'i').exec(text)?.[1] ?? ''
  const body = text.slice(text.indexOf('\r\n\r\n') + 4)
  const signed = `${header('x-mlflow-delivery-id')}.${header('x-mlflow-timestamp')}.${body}`
  return `v1,${createHmac('sha256', SECRET).update(signed, 'latin1').digest('base64')}`
}

export const target: Target = {
  what: 'hooks: the bytes of a connection',
  maxBytes: 1_000,
  maxMiB: 128,
  dictionary: [
    SECRET_MARK,
    SIGNATURE_MARK,
    'POST /hooks/huggingface HTTP/1.1\r\n',
    '/hooks/generic',
    '/hooks/mlflow',
    'X-Webhook-Secret: ',
    'Authorization: Bearer ',
    'X-MLflow-Signature: ',
    `X-MLflow-Timestamp: ${NOW_S}\r\n`,
    'X-MLflow-Delivery-Id: d\r\n',
    'Content-Length: 99999999\r\n',
    'Content-Length: -1\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Expect: 100-continue\r\n',
    'Upgrade: websocket\r\nConnection: upgrade\r\n',
    '\r\n\r\n',
    '0\r\n\r\n',
    '{"event":{"scope":"repo.content"}}',
    '__proto__',
  ],
  seeds: () =>
    [
      request('huggingface', [`X-Webhook-Secret: ${SECRET_MARK}`], '{"event":{"scope":"repo.content"}}'),
      request('generic', [`Authorization: Bearer ${SECRET_MARK}`], '{}'),
      request('generic', ['Authorization: Bearer wrong'], '{}'),
      request(
        'mlflow',
        ['X-MLflow-Delivery-Id: d', `X-MLflow-Timestamp: ${NOW_S}`, `X-MLflow-Signature: ${SIGNATURE_MARK}`],
        '{"entity":"model_version"}',
      ),
    ].map(text => Buffer.from(text)),
  async check(input) {
    const { url } = await hooks()
    const text = input.toString('latin1')
    const isSecret = text.includes(SECRET_MARK) || text.includes(SIGNATURE_MARK)
    const sent = text.replaceAll(SECRET_MARK, SECRET)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    let reply = ''
    socket.setEncoding('latin1').on('data', (piece: string) => {
      reply += piece
    })
    const timer = setTimeout(() => socket.destroy(new Error('late')), ENDS_WITHIN_MS)
    socket.end(
      Buffer.from(
        sent.replaceAll(SIGNATURE_MARK, () => signatureOf(sent)),
        'latin1',
      ),
    )
    await once(socket, 'close')
    clearTimeout(timer)
    must(socket.errored?.message !== 'late', () => `a connection that is open after ${ENDS_WITHIN_MS} ms`)
    must(
      reply === '' || reply.startsWith('HTTP/1.1 '),
      () => `a reply of ${JSON.stringify(reply.slice(0, 80))}`,
    )
    if (isSecret) return
    must(!reply.includes(' 202 '), () => 'a hook without the secret is accepted')
  },
}
