// The HTTP server of the console. It reads and shows; it changes an output only by an action, which
// needs a token of its own.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Queue } from '@reembed/queue'
import { createBoundedServer, isLoopback, LIMITS, listenOn, parseListen, ReembedError } from '@reembed/shared'
import type { S3Options, Store } from '@reembed/store'
import { asset } from '../assets.ts'
import { createComparisonReader } from '../data/comparison.ts'
import { createNextTicks, type OutputSchedules } from '../data/next-ticks.ts'
import { createPreviewReader } from '../data/previews.ts'
import { createRunDetails } from '../data/run-detail.ts'
import { createSearchReader, type SearchEndpoint } from '../data/searches.ts'
import { type ConsoleQueue, watchOutputs } from '../data/watch-outputs.ts'
import { documentOf, signInPage } from '../page/document.ts'
import { createLinks } from '../page/links.ts'
import type { CommandOf } from '../page/next-steps.ts'
import { createPageReader, notFoundPage, type PageReader, unavailablePage } from '../read-page.ts'
import { createEventStreams, type EventStreams } from './events.ts'
import { type ActionsContext, act, signIn } from './forms.ts'
import { createAccess } from './session.ts'

export interface ConsoleOptions {
  readonly stores: readonly Store[]
  /** Without it, pages show what the store holds: no workers, no jobs in progress. */
  readonly queue?: ConsoleQueue | undefined
  /** `9467`, `127.0.0.1:9467` or `[::]:9467`. Port 0 selects a free port. */
  readonly listen: string
  /** Required on an address other than loopback. */
  readonly token?: string | undefined
  /** The token that lets a reader act; without it every page only shows. */
  readonly actions?:
    | { readonly token: string; readonly openQueue?: (() => Promise<Queue>) | undefined }
    | undefined
  /**
   * Embed the texts that readers search for, one for each endpoint; without them there is no
   * search.
   */
  readonly endpoints?: readonly SearchEndpoint[] | undefined
  /** Access to corpora in S3, for the texts of documents. */
  readonly s3?: S3Options | undefined
  /** The schedules of one of the outputs: its card states their next ticks. */
  readonly schedules?: OutputSchedules | undefined
  /** The commands that pages offer to copy; without it they offer none. */
  readonly commandOf?: CommandOf | undefined
  /**
   * Time between two reads of Redis, in milliseconds; buckets are read at every sixth. Default
   * 5,000.
   */
  readonly pollMs?: number | undefined
}

/** A running console. Disposal closes all connections. */
export interface Console extends AsyncDisposable {
  /** For example `http://127.0.0.1:9467`. */
  readonly url: string
}

/**
 * Starts the console. It does not keep the process alive.
 * @throws ReembedError USAGE if the address is invalid, in use, or not loopback and has no token
 */
export async function serveConsole(options: ConsoleOptions): Promise<Console> {
  const { stores, queue, listen, token, actions, pollMs, commandOf } = options
  const { host, port } = parseListen(listen, 'console')
  const onLoopback = isLoopback(host)
  if (!onLoopback && !token) {
    throw new ReembedError(
      'USAGE',
      `the console on ${listen} would be open to other machines: set a token, or listen on loopback`,
      { option: 'console.token' },
    )
  }
  const stop = new AbortController()
  const watch = watchOutputs(stores, { queue, signal: stop.signal, pollMs })
  const links = createLinks(stores.length)
  const streams = createEventStreams()
  const read = createPageReader({
    watch,
    details: createRunDetails(),
    comparisons: createComparisonReader({ signal: stop.signal }),
    previews: createPreviewReader(),
    searches: createSearchReader(options.endpoints ?? [], options.s3 ?? {}, { signal: stop.signal }),
    queue,
    ticks: createNextTicks(options.schedules),
    links,
    commandOf,
    onLateReading: streams.publishLate,
  })
  watch.subscribe(streams.publish)
  const access = createAccess({ token, actionsToken: actions?.token, onLoopback })
  const acting = { access, stores, links, openQueue: actions?.openQueue, refresh: watch.refresh }
  const server = createBoundedServer((request, response) => {
    answer(request, response, { read, streams, acting }).catch(() => response.destroy())
  }, LIMITS.eventReaders)
  const url = await listenOn(server, { host, port }, 'console')
  server.unref()
  return {
    url,
    async [Symbol.asyncDispose]() {
      stop.abort()
      streams.close()
      server.closeAllConnections()
      // A Redis or store that does not answer must not delay the end of the process: the poll in
      // progress is not awaited.
      server.close()
    },
  }
}

interface Answering {
  readonly read: PageReader
  readonly streams: EventStreams
  readonly acting: ActionsContext
}

/** Only this server's own script, style and data; no frame, no form to elsewhere. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const ASSETS: Readonly<Record<string, { readonly body: string; readonly type: string }>> = {
  '/console.css': { body: asset('console.css'), type: 'text/css; charset=utf-8' },
  '/console.js': { body: asset('console.js'), type: 'text/javascript; charset=utf-8' },
  '/icon.svg': { body: asset('icon.svg'), type: 'image/svg+xml' },
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  answering: Answering,
): Promise<void> {
  const { read, streams, acting } = answering
  const { access } = acting
  response.setHeader('content-security-policy', POLICY)
  response.setHeader('x-content-type-options', 'nosniff')
  // 'no-referrer' would make browsers send `Origin: null` with the forms of these pages.
  response.setHeader('referrer-policy', 'same-origin')
  response.setHeader('cache-control', 'no-store')
  const reply = (status: number, body: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': type }).end(request.method === 'HEAD' ? '' : body)
  }
  if (!access.isOwnHost(request)) return reply(421, 'open the console by its own address\n')
  const url = urlOf(request)
  if (url === undefined) return reply(400, 'invalid address\n')
  const found = ASSETS[url.pathname]
  if (found) return reply(200, found.body, found.type)
  if (url.pathname === '/sign-in' && request.method === 'POST') return signIn(request, response, access)
  if (url.pathname === '/act' && request.method === 'POST' && access.hasActions)
    return act(request, response, acting)
  if (request.method !== 'GET' && request.method !== 'HEAD') return reply(405, 'use GET\n')
  const page = (status: number, shown: Parameters<typeof documentOf>[0]): void =>
    reply(status, documentOf(shown, url.pathname).text, 'text/html; charset=utf-8')
  const viewer = access.viewer(request)
  const form = { isWrong: url.searchParams.has('wrong'), hasActions: access.hasActions }
  if (viewer === undefined)
    return url.pathname === '/events' ? reply(401, 'sign in\n') : page(401, signInPage(form))
  if (url.pathname === '/sign-in') return page(200, signInPage(form))
  if (url.pathname === '/events') {
    const of = addressOf(url.searchParams.get('page'))
    return of === undefined
      ? reply(400, 'name a page\n')
      : streams.open(response, () => read(of, viewer), `${of.href} ${viewer.csrf ?? viewer.canSignIn}`)
  }
  try {
    const shown = await read(url, viewer)
    return shown ? page(shown.isRefused ? 429 : 200, shown) : page(404, notFoundPage)
  } catch (error) {
    return page(503, unavailablePage(error))
  }
}

const BASE = 'http://console'
const urlOf = ({ url = '' }: IncomingMessage): URL | undefined => addressOf(url)

/** An address within the console; undefined for anything else. */
function addressOf(path: string | null): URL | undefined {
  if (path === null || !path.startsWith('/') || !URL.canParse(path, BASE)) return undefined
  const url = new URL(path, BASE)
  return url.origin === BASE ? url : undefined
}
