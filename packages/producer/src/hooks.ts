// POST /hooks/huggingface, /hooks/mlflow and /hooks/generic: a notice that the model or the corpus
// changed. A hook only triggers planning; planning itself reads the endpoint and the corpus. So a
// forged or repeated hook costs one plan at most. Each request must still be authenticated with the
// shared secret.

import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { constantTimeEqual, listenOn, parseListen, ReembedError } from '@reembed/shared'

export type HookKind = 'huggingface' | 'mlflow' | 'generic'

export interface HooksOptions {
  /** See `parseListen`. */
  readonly listen: string
  readonly secret: string
  /** Called once for each burst of hooks, after its last one, with the kinds received. */
  readonly onHook: (kinds: readonly HookKind[]) => void
  /**
   * Milliseconds without a hook that end a burst; default 30,000. A push of several commits sends
   * several hooks.
   */
  readonly debounceMs?: number | undefined
  readonly now?: (() => number) | undefined
}

export interface Hooks extends AsyncDisposable {
  readonly url: string
}

const KINDS: readonly HookKind[] = ['huggingface', 'mlflow', 'generic']
const MAX_BODY_BYTES = 1024 * 1024
const DEBOUNCE_MS = 30_000
/** Maximum age of a signed hook, against replay: MLflow signs the time of sending. */
const FRESH_MS = 5 * 60_000
const SHORTEST_SECRET = 16

/**
 * Serves the hooks until it is disposed.
 * @throws ReembedError USAGE for an address that cannot be listened on, or a secret of under 16
 * characters, before the port is opened.
 */
export async function serveHooks({
  listen,
  secret,
  onHook,
  debounceMs = DEBOUNCE_MS,
  now = Date.now,
}: HooksOptions): Promise<Hooks> {
  const address = parseListen(listen, 'hooks')
  if (secret.length < SHORTEST_SECRET) {
    const why =
      secret === '' ? 'hooks need a secret' : `the hooks' secret has under ${SHORTEST_SECRET} characters`
    throw new ReembedError(
      'USAGE',
      `${why}: put a random one into REEMBED_HOOK_SECRET, here and where the hook is set up`,
    )
  }
  let timer: NodeJS.Timeout | undefined
  const waiting = new Set<HookKind>()
  const noteHook = (kind: HookKind): void => {
    waiting.add(kind)
    clearTimeout(timer)
    timer = setTimeout(() => {
      const kinds = [...waiting]
      waiting.clear()
      onHook(kinds)
    }, debounceMs)
  }

  async function answer(request: IncomingMessage): Promise<[status: number, text: string]> {
    const path = request.url?.split('?', 1)[0] ?? ''
    const kind = KINDS.find(name => path === `/hooks/${name}`)
    if (kind === undefined) return [404, `POST to ${KINDS.map(name => `/hooks/${name}`).join(', ')}`]
    if (request.method !== 'POST') return [405, 'only POST']
    const body = await bodyOf(request)
    if (body === undefined) return [413, 'a hook has at most 1 MiB']
    if (!isSigned(kind, request, body, secret, now())) return [401, 'the secret is missing or wrong']
    if (kind === 'huggingface' && !isContent(body)) return [202, 'ignored: no change of content']
    noteHook(kind)
    return [202, 'accepted']
  }

  const server = createServer((request, response) => {
    answer(request).then(
      ([status, text]) =>
        response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`${text}\n`),
      () => response.destroy(),
    )
  })
  server.headersTimeout = 5_000
  server.requestTimeout = 10_000
  const url = await listenOn(server, address, 'hooks')
  return {
    url,
    async [Symbol.asyncDispose]() {
      clearTimeout(timer)
      server.closeAllConnections()
      server.close()
    },
  }
}

/**
 * Whether a request is authenticated with the shared secret. Hugging Face sends the secret itself
 * in X-Webhook-Secret (hub docs, webhooks). MLflow sends an HMAC-SHA256 over id, time and body
 * (mlflow docs, webhooks). A generic sender sends a bearer token. All are compared in constant
 * time.
 */
function isSigned(
  kind: HookKind,
  { headers }: IncomingMessage,
  body: Buffer,
  secret: string,
  nowMs: number,
): boolean {
  const header = (name: string): string => {
    const value = headers[name]
    return typeof value === 'string' ? value : ''
  }
  if (kind === 'huggingface') return constantTimeEqual(header('x-webhook-secret'), secret)
  if (kind === 'generic') return constantTimeEqual(header('authorization'), `Bearer ${secret}`)
  const [id, time] = [header('x-mlflow-delivery-id'), header('x-mlflow-timestamp')]
  const fresh = Math.abs(nowMs - 1000 * Number(time)) < FRESH_MS
  const signature = createHmac('sha256', secret).update(`${id}.${time}.`).update(body).digest('base64')
  return constantTimeEqual(header('x-mlflow-signature'), `v1,${signature}`) && fresh
}

/** Hugging Face reports discussions and settings too; only `repo.content` changes files. */
function isContent(body: Buffer): boolean {
  try {
    const { event } = JSON.parse(body.toString()) as { event?: { scope?: unknown } }
    return typeof event?.scope === 'string' && event.scope.startsWith('repo.content')
  } catch {
    return false
  }
}

/** The body; undefined if it is over 1 MiB, and then the rest is not read. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request) {
    bytes += piece.length
    if (bytes > MAX_BODY_BYTES) return undefined
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}
