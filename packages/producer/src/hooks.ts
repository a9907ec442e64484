// POST /hooks/huggingface, /hooks/mlflow and /hooks/generic: somebody says that the model or the
// corpus changed. A hook only says "look now"; what there is to do, the endpoint and the corpus
// tell. So a forged or repeated one can at most cost a look, and still none is taken without the
// secret.

import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { constantTimeEqual, listenOn, parseListen, ReembedError } from '@reembed/shared'

export type HookKind = 'huggingface' | 'mlflow' | 'generic'

export interface HooksOptions {
  /** See `parseListen`. */
  readonly listen: string
  readonly secret: string
  /** Told once after the last of a burst of hooks. */
  readonly onHook: (kinds: readonly HookKind[]) => void
  /** Quiet that ends a burst. A push of several commits makes several hooks. */
  readonly debounceMs?: number | undefined
  readonly now?: (() => number) | undefined
}

export interface Hooks extends AsyncDisposable {
  readonly url: string
}

const KINDS: readonly HookKind[] = ['huggingface', 'mlflow', 'generic']
const MAX_BODY_BYTES = 1024 * 1024
const DEBOUNCE_MS = 30_000
/** How old a signed hook may be: MLflow signs its time. */
const FRESH_MS = 5 * 60_000
const SHORTEST_SECRET = 16

/**
 * @throws ReembedError USAGE for an address that can't be listened on, or a secret that can be
 * guessed.
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
      secret === '' ? 'hooks want a secret' : `the hooks' secret has under ${SHORTEST_SECRET} characters`
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
    const kind = KINDS.find(one => path === `/hooks/${one}`)
    if (kind === undefined) return [404, `POST to ${KINDS.map(one => `/hooks/${one}`).join(', ')}`]
    if (request.method !== 'POST') return [405, 'only POST']
    const body = await bodyOf(request)
    if (body === undefined) return [413, 'a hook has at most 1 MiB']
    if (!isSigned(kind, request, body, secret, now())) return [401, 'the secret is missing or wrong']
    if (kind === 'huggingface' && !isContent(body)) return [202, 'ignored: no change of content']
    noteHook(kind)
    return [202, 'taken']
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
 * huggingface sends the secret itself (hub docs, webhooks: X-Webhook-Secret), mlflow signs id, time
 * and body with it (mlflow docs, webhooks), generic sends it as a bearer token. Each compared in
 * constant time.
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

/** Hugging Face tells of discussions and settings too; `repo.content` is what changes a model. */
function isContent(body: Buffer): boolean {
  try {
    const { event } = JSON.parse(body.toString()) as { event?: { scope?: unknown } }
    return typeof event?.scope === 'string' && event.scope.startsWith('repo.content')
  } catch {
    return false
  }
}

/** Undefined if it is too long; the rest is not read. */
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
