// The connection to Milvus or Zilliz Cloud, and the errors of its calls.

import {
  deadlines,
  importClient,
  messageOf,
  ReembedError,
  type RetryOptions,
  requireEncrypted,
  startWait,
  unlessAborted,
  withRetries,
} from '@reembed/shared'

export interface Status {
  readonly code?: number
  readonly error_code: number | string
  readonly reason: string
}

export type Row = Readonly<Record<string, unknown>>

/**
 * The part of the client that a load uses; the package is optional, so its types are not imported.
 * A method rejects, or resolves with a status that is not Success.
 */
export interface MilvusClient {
  readonly connectPromise: Promise<unknown>
  getVersion(): Promise<{ readonly version: string }>
  listCollections(): Promise<{ readonly data: readonly { readonly name: string }[] }>
  createCollection(data: object): Promise<Status>
  dropCollection(data: object): Promise<Status>
  createIndex(data: object): Promise<Status>
  describeIndex(data: object): Promise<{ readonly index_descriptions: readonly unknown[] }>
  loadCollectionAsync(data: object): Promise<Status>
  getLoadState(data: object): Promise<{ readonly state: string }>
  getLoadingProgress(data: object): Promise<{ readonly progress: string | number }>
  flushSync(data: object): Promise<unknown>
  upsert(data: object): Promise<unknown>
  delete(data: object): Promise<unknown>
  get(data: object): Promise<{ readonly data: readonly Row[] }>
  query(data: object): Promise<{ readonly data: readonly Row[] }>
  describeAlias(data: object): Promise<{ readonly collection: string }>
  describeCollection(data: object): Promise<{
    readonly schema: {
      readonly fields: readonly {
        readonly name: string
        readonly data_type: string
        readonly is_primary_key: boolean
      }[]
    }
  }>
  createAlias(data: object): Promise<Status>
  dropAlias(data: object): Promise<Status>
  listAliases(data: object): Promise<{ readonly aliases: readonly string[] }>
  getCollectionStatistics(data: object): Promise<{ readonly data: { readonly row_count: string | number } }>
  alterAlias(data: object): Promise<Status>
  closeConnection(): Promise<unknown>
}

export interface MilvusConnection extends AsyncDisposable {
  /** The URL without user and password. */
  readonly address: string
  /** The reply of a call; an error of reembed for one that fails. */
  call<T>(work: (client: MilvusClient) => Promise<T>): Promise<T>
  /**
   * The same, repeated while the server is overloaded or the call is lost. `work` must be
   * idempotent.
   */
  ask<T>(work: (client: MilvusClient) => Promise<T>, options?: RetryOptions): Promise<T>
}

interface MilvusPackage {
  readonly MilvusClient: new (config: object) => MilvusClient
}

const PACKAGES = '@zilliz/milvus2-sdk-node'
/** Longer than the 5 minutes that servers may require. */
const KEEPALIVE_MS = 330_000
/** Routers drop a connection that was idle for 4 minutes or more, and neither side learns it. */
const IDLE_MS = 60_000
/** Error codes of Milvus (pkg/util/merr): a collection or an alias that does not exist. */
const NOT_FOUND: ReadonlySet<number> = new Set([100, 1_600])
/** Not ready, timeout, over a quota or rate limit. */
const PASSING: ReadonlySet<number> = new Set([1, 2, 3, 5, 8, 9])
const DEADLINE_EXCEEDED = 4
/**
 * Status codes of gRPC that another attempt may not meet: CANCELLED, DEADLINE_EXCEEDED,
 * RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE (grpc.io/docs/guides/status-codes).
 */
const LOST: ReadonlySet<number> = new Set([1, DEADLINE_EXCEEDED, 8, 10, 14])

const serverOf = (url: string): URL => new URL(url.replace(/^milvus\+/, ''))

/** The URL without user and password. */
export function milvusAddress(url: string): string {
  const { protocol, host, pathname } = serverOf(url)
  return `milvus+${protocol}//${host}${pathname.replace(/\/$/, '')}`
}

/**
 * Connects to a server: `milvus+https://host:19530/database`. The variable MILVUS_TOKEN, or user
 * and password in the URL, has the key.
 */
export async function connectMilvus(url: string): Promise<MilvusConnection> {
  const { protocol, host, username, password, pathname } = serverOf(url)
  const { MILVUS_TOKEN: token } = process.env
  if (username !== '' || token) requireEncrypted(url)
  const { MilvusClient } = await importClient<MilvusPackage>(
    PACKAGES,
    () => import('@zilliz/milvus2-sdk-node' as string) as Promise<MilvusPackage>,
  )
  const address = milvusAddress(url)
  const { replyMs } = deadlines().sink
  let opened = 0
  return milvusConnection(address, () => {
    opened += 1
    return new MilvusClient({
      address: host,
      ssl: protocol === 'https:',
      token: username === '' ? token : `${decodeURIComponent(username)}:${decodeURIComponent(password)}`,
      database: pathname.replace(/^\/|\/$/g, '') || undefined,
      timeout: replyMs,
      // `withRetries` repeats.
      maxRetries: 0,
      channelOptions: {
        // The default of 10 s is more often than a server of gRPC's core accepts, which then closes
        // the connection with all calls (grpc.github.io/grpc/core/md_doc_keepalive.html: 5
        // minutes). So pings do not keep an idle connection open, see `IDLE_MS`.
        'grpc.keepalive_time_ms': KEEPALIVE_MS,
        'grpc.keepalive_permit_without_calls': 0,
        // grpc-js shares a connection between clients whose options are equal.
        'reembed.opened': opened,
      },
      logLevel: 'error',
    })
  })
}

/** The calls of a server. `connect` makes a client with a connection of its own. */
export function milvusConnection(address: string, connect: () => MilvusClient): MilvusConnection {
  const open = (): { readonly client: MilvusClient; calls: number; usedMs: number } => {
    const client = connect()
    // Reported by the first call.
    client.connectPromise.catch(() => {})
    return { client, calls: 0, usedMs: performance.now() }
  }
  let current = open()
  const closeUnused = (connection: typeof current): void => {
    // Other calls may be in flight on it.
    if (connection !== current && connection.calls === 0) connection.client.closeConnection().catch(() => {})
  }
  function take(): typeof current {
    const last = current
    if (last.calls === 0 && performance.now() - last.usedMs > IDLE_MS) current = open()
    closeUnused(last)
    return current
  }
  // A server that never answered is reported at once: its URL may be wrong.
  let hasAnswered = false
  async function call<T>(work: (client: MilvusClient) => Promise<T>): Promise<T> {
    using wait = startWait(`the vector store at ${address}`)
    const used = take()
    used.calls += 1
    try {
      const reply = await work(used.client)
      hasAnswered = true
      wait.answered()
      const { status = reply } = reply as { readonly status?: unknown }
      const { error_code: name = 'Success', code = 0 } = status as Status
      // Milvus Lite sets the newer `code` alone for errors that it does not expect.
      if ((name !== 'Success' && name !== 0) || code !== 0) throw status
      return reply
    } catch (error) {
      wait.gaveUp()
      // The next call on a connection that a router has dropped would be lost as well.
      if (isGrpc(error) && codeOf(error) === DEADLINE_EXCEEDED && used === current) current = open()
      throw milvusError(error, address)
    } finally {
      used.calls -= 1
      used.usedMs = performance.now()
      closeUnused(used)
    }
  }

  return {
    address,
    call,
    ask(work, options) {
      const once = () => unlessAborted(options?.signal, call(work))
      return hasAnswered ? withRetries(once, options) : once()
    },
    async [Symbol.asyncDispose]() {
      await current.client.closeConnection()
    },
  }
}

const codeOf = (error: unknown): number | undefined => (error as Status | undefined)?.code

/** Whether this is an error of gRPC, not a status in a reply of Milvus. */
const isGrpc = (error: unknown): boolean => error instanceof Error && typeof codeOf(error) === 'number'

/** Whether a call failed because a collection or an alias does not exist. */
export const isMissing = (error: unknown): boolean =>
  error instanceof ReembedError && !isGrpc(error.cause) && NOT_FOUND.has(codeOf(error.cause) ?? -1)

function milvusError(error: unknown, address: string): unknown {
  if (error instanceof ReembedError) return error
  // The client rejects with a status, with a reply that has one, or with an error.
  const { status: cause = error } = error as { readonly status?: unknown }
  const { reason } = cause as Partial<Status>
  const message = reason ?? messageOf(cause)
  if (/UNAUTHENTICATED|permission.denied|auth check failure|privilege/i.test(message)) {
    return new ReembedError(
      'STORE_ACCESS_DENIED',
      `${address} denies access: ${message}; check the token or the password, and its rights`,
      { cause },
    )
  }
  const code = codeOf(cause)
  const passes = isGrpc(cause)
    ? LOST.has(code ?? -1) && !/larger than max/i.test(message)
    : // The client itself rejects some calls with the reason of a status alone.
      PASSING.has(code ?? 1) && /not ready|timeout|rate|limit|quota/i.test(message)
  if (passes) {
    return new ReembedError('STORE_UNREACHABLE', `${address} did not take a request: ${message}`, {
      retry: 'requeue',
      cause,
    })
  }
  return new ReembedError('USAGE', `${address} refuses a request: ${message}`, { cause })
}
