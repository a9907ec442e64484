// POST /hooks/huggingface, /hooks/mlflow and /hooks/generic: a notice that the model or the corpus
// changed. A hook only triggers planning; planning itself reads the endpoint and the corpus. So a
// forged or repeated hook costs one plan at most. Each request must still be authenticated with the
// shared secret, before its body is read where the secret is in a header.

import { createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import {
  constantTimeEqual,
  createBoundedServer,
  LIMITS,
  listenOn,
  parseListen,
  ReembedError,
} from '@reembed/shared'

export type HookKind = 'huggingface' | 'mlflow' | 'generic'

export interface HooksOptions {
  /** See `parseListen`. */
  readonly listen: string
  readonly secret: string
  /**
   * Called once for each burst of hooks with the kinds received: after its last one, or after ten
   * times `debounceMs` where the burst continues.
   */
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
const MAX_BODY_BYTES = LIMITS.hookBodyBytes
/** Bodies that are read at the same time; further senders must retry. */
const MAX_BODIES = LIMITS.hookBodies
const DEBOUNCE_MS = 30_000
/** Sustained hooks trigger a check after this many times the quiet interval. */
const MAX_BURST = 10
/** Maximum age of a signed hook, against replay: MLflow signs the time of sending. */
const FRESH_MS = 5 * 60_000
/** Deliveries that are remembered until they are too old to be accepted again. */
const MAX_REMEMBERED = LIMITS.hookDeliveries
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
  const burst = createBurst(debounceMs, onHook)
  const deliveries = createDeliveries()
  let bodies = 0

  async function answer(request: IncomingMessage): Promise<Answer> {
    const path = request.url?.split('?', 1)[0] ?? ''
    const kind = KINDS.find(name => path === `/hooks/${name}`)
    if (kind === undefined) return [404, `POST to ${KINDS.map(name => `/hooks/${name}`).join(', ')}`]
    if (request.method !== 'POST') return [405, 'only POST']
    if (!mayBeSigned(kind, request, secret, now())) return UNSIGNED
    if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return TOO_LARGE
    if (bodies >= MAX_BODIES) return [503, 'too many hooks at once: send it again']
    bodies += 1
    try {
      const body = await bodyOf(request)
      if (body === undefined) return TOO_LARGE
      return accept(kind, request, body)
    } finally {
      bodies -= 1
    }
  }

  function accept(kind: HookKind, request: IncomingMessage, body: Buffer): Answer {
    if (kind === 'mlflow') {
      if (!isSigned(request, body, secret)) return UNSIGNED
      const outcome = deliveries.add(header(request, 'x-mlflow-signature'), now())
      // A sender repeats a delivery whose reply it has lost.
      if (outcome === 'known') return [202, 'already received']
      if (outcome === 'full') return [429, 'too many deliveries: send it again later']
    }
    if (kind === 'huggingface' && !isContent(body)) return [202, 'ignored: no change of content']
    burst.add(kind)
    return [202, 'accepted']
  }

  const server = createBoundedServer((request, response) => {
    answer(request).then(
      ([status, text]) => {
        response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`${text}\n`)
      },
      () => response.destroy(),
    )
  })
  const url = await listenOn(server, address, 'hooks')
  return {
    url,
    async [Symbol.asyncDispose]() {
      burst.end()
      server.closeAllConnections()
      server.close()
    },
  }
}

type Answer = readonly [status: number, text: string]
const UNSIGNED: Answer = [401, 'the secret is missing or wrong']
const TOO_LARGE: Answer = [413, 'a hook has at most 1 MiB']

/** Collects the hooks of a burst. */
export function createBurst(debounceMs: number, onHook: HooksOptions['onHook']) {
  const waiting = new Set<HookKind>()
  let timer: NodeJS.Timeout | undefined
  let firstMs = 0
  const fire = (): void => {
    const kinds = [...waiting]
    waiting.clear()
    onHook(kinds)
  }
  return {
    add(kind: HookKind): void {
      const nowMs = performance.now()
      if (waiting.size === 0) firstMs = nowMs
      waiting.add(kind)
      clearTimeout(timer)
      const leftMs = firstMs + MAX_BURST * debounceMs - nowMs
      timer = setTimeout(fire, Math.max(0, Math.min(debounceMs, leftMs)))
    },
    end: (): void => clearTimeout(timer),
  }
}

interface Deliveries {
  add(signature: string, nowMs: number): 'new' | 'known' | 'full'
}

/** The signed deliveries that were accepted, until they are too old to be accepted again. */
export function createDeliveries(): Deliveries {
  /** Signature -> when it may be forgotten, in the order of arrival. */
  const known = new Map<string, number>()
  return {
    add(signature: string, nowMs: number): 'new' | 'known' | 'full' {
      for (const [old, untilMs] of known) {
        if (untilMs > nowMs) break
        known.delete(old)
      }
      if (known.has(signature)) return 'known'
      if (known.size >= MAX_REMEMBERED) return 'full'
      // The sender's clock may be ahead by FRESH_MS, and the delivery is accepted for FRESH_MS.
      known.set(signature, nowMs + 2 * FRESH_MS)
      return 'new'
    },
  }
}

function header({ headers }: IncomingMessage, name: string): string {
  const value = headers[name]
  return typeof value === 'string' ? value : ''
}

/**
 * Whether the headers of a request authenticate it, or can. Hugging Face sends the secret itself in
 * X-Webhook-Secret (hub docs, webhooks), a generic sender a bearer token. MLflow signs the body, so
 * that only its form and its time can be checked here. Secrets are compared in constant time.
 */
function mayBeSigned(kind: HookKind, request: IncomingMessage, secret: string, nowMs: number): boolean {
  if (kind === 'huggingface') return constantTimeEqual(header(request, 'x-webhook-secret'), secret)
  if (kind === 'generic') return constantTimeEqual(header(request, 'authorization'), `Bearer ${secret}`)
  const isFresh = Math.abs(nowMs - 1000 * Number(header(request, 'x-mlflow-timestamp'))) < FRESH_MS
  return isFresh && /^v1,[A-Za-z0-9+/]{43}=$/.test(header(request, 'x-mlflow-signature'))
}

/** Whether MLflow's HMAC-SHA256 over id, time and body is right (mlflow docs, webhooks). */
function isSigned(request: IncomingMessage, body: Buffer, secret: string): boolean {
  const [id, time] = [header(request, 'x-mlflow-delivery-id'), header(request, 'x-mlflow-timestamp')]
  const signature = createHmac('sha256', secret).update(`${id}.${time}.`).update(body).digest('base64')
  return constantTimeEqual(header(request, 'x-mlflow-signature'), `v1,${signature}`)
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
