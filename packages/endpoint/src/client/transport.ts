// HTTP/1.1 by undici's `dispatch`, with a handler that collects the body into a reused buffer.
// Measured per embedding, `request()` costs 1.7 times as much CPU and HTTP/2 1.8 times.

import { isIP, type LookupFunction } from 'node:net'
import { LIMITS, proxyEnv, seconds } from '@reembed/shared'
import { type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici'
import type { Headers } from './classify.ts'

export interface Reply {
  readonly status: number
  readonly headers: Headers
  /** Valid only until `read` returns: the buffer is reused for the next reply. */
  readonly body: Buffer
}

export interface ExchangeOptions {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: string
  readonly headers?: readonly string[]
  /** Limit for the whole exchange, from waiting for a connection to the last byte. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export interface Transport extends AsyncDisposable {
  /**
   * Sends one request and calls `read` with the complete reply. Rejects with a `TransportError` for
   * a failed exchange, with the signal's reason on abort, and with any error of `read`.
   */
  exchange<T>(options: ExchangeOptions, read: (reply: Reply) => T): Promise<T>
}

/** A failed exchange; `answered`: a status line was read before it failed. */
export class TransportError extends Error {
  readonly answered: boolean
  override readonly cause: unknown

  constructor(cause: unknown, answered: boolean) {
    super('exchange failed')
    this.cause = cause
    this.answered = answered
  }
}

export interface TransportOptions {
  /** Headers of each request, names and values alternating. */
  readonly headers?: readonly string[]
  /** Longer replies end the exchange with REPLY_TOO_LARGE. */
  readonly maxReplyBytes?: number
  readonly connections?: number
  /**
   * IP address to connect to instead of resolving the origin's name; `Host` and SNI stay the
   * origin's.
   */
  readonly address?: string | undefined
}

/** Opens a pool of keep-alive connections to one origin. Disposal ends requests in flight. */
export function openTransport(
  origin: string,
  { headers = [], maxReplyBytes = LIMITS.replyBytes, connections = 256, address }: TransportOptions = {},
): Transport {
  const options = {
    connections,
    allowH2: false,
    pipelining: 1,
    // Under the 60 s after which load balancers drop an idle connection; undici's own default is 4
    // s.
    keepAliveTimeout: 20_000,
    // One deadline per exchange replaces undici's two timers, which start only after the request is
    // written.
    headersTimeout: 0,
    bodyTimeout: 0,
    ...(address !== undefined && { connect: { lookup: fixedLookup(address) } }),
  }
  // A proxy resolves names itself, so a given address is never behind one.
  const proxies = address === undefined ? proxyEnv() : undefined
  const pool = proxies
    ? new EnvHttpProxyAgent({
        ...options,
        ...(proxies.HTTP_PROXY && { httpProxy: proxies.HTTP_PROXY }),
        ...(proxies.HTTPS_PROXY && { httpsProxy: proxies.HTTPS_PROXY }),
        noProxy: proxies.NO_PROXY,
      })
    : new Pool(origin, options)
  const buffers = createBuffers()
  return {
    exchange: (options, read) =>
      new Promise((resolve, reject) => {
        if (options.signal?.aborted) {
          reject(options.signal.reason)
          return
        }
        pool.dispatch(
          {
            origin,
            method: options.method,
            path: options.path,
            headers: [...headers, ...(options.headers ?? [])],
            body: options.body ?? null,
          },
          new Exchange(options, { buffers, maxReplyBytes, read, resolve, reject }),
        )
      }),
    [Symbol.asyncDispose]: () => pool.destroy(),
  }
}

interface ExchangeCallbacks<T> {
  readonly buffers: Buffers
  readonly maxReplyBytes: number
  readonly read: (reply: Reply) => T
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

class Exchange<T> implements Dispatcher.DispatchHandler {
  readonly #ends: ExchangeCallbacks<T>
  readonly #signal: AbortSignal | undefined
  readonly #deadline: NodeJS.Timeout
  #controller: Dispatcher.DispatchController | undefined
  #settled = false
  #reason: Error | undefined
  #status = 0
  #headers: Headers = {}
  /**
   * Taken from the buffer pool when the reply begins: of hundreds of pending requests, only a few
   * receive a reply at the same time.
   */
  #body: Buffer | undefined
  #length = 0

  constructor({ timeoutMs, signal }: ExchangeOptions, ends: ExchangeCallbacks<T>) {
    this.#ends = ends
    this.#signal = signal
    this.#deadline = setTimeout(() => {
      this.#stop(coded('REPLY_TIMEOUT', `no complete reply within ${seconds(timeoutMs)} s`))
    }, timeoutMs)
    signal?.addEventListener('abort', this.#aborted)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#length = 0
    // The request may have been aborted while it waited for a connection.
    if (this.#reason) controller.abort(this.#reason)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#status = status
    this.#headers = headers
    if (this.#settled) return
    this.#body ??= this.#ends.buffers.take()
    const announced = Number(headers['content-length'])
    if (announced > 0) this.#reserve(announced)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled || !this.#reserve(this.#length + chunk.length)) return
    this.#body?.set(chunk, this.#length)
    this.#length += chunk.length
  }

  onResponseEnd(): void {
    if (this.#settled) return
    const { read, resolve, reject } = this.#ends
    try {
      const body = this.#body?.subarray(0, this.#length) ?? EMPTY
      resolve(read({ status: this.#status, headers: this.#headers, body }))
    } catch (error) {
      reject(error)
    }
    this.#settle()
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#settled) return
    this.#ends.reject(new TransportError(error, this.#status > 0))
    this.#settle()
  }

  /** Grows the body's buffer to `length` bytes; false when that exceeds the limit. */
  #reserve(length: number): boolean {
    const { maxReplyBytes } = this.#ends
    if (length > maxReplyBytes) {
      this.#stop(coded('REPLY_TOO_LARGE', `the reply is longer than ${maxReplyBytes} bytes`))
      return false
    }
    const known = this.#body ?? EMPTY
    if (length > known.length) {
      this.#body = Buffer.allocUnsafeSlow(Math.min(Math.max(length, known.length * 2), maxReplyBytes))
      this.#body.set(known.subarray(0, this.#length))
    }
    return true
  }

  /** An arrow function: `removeEventListener` needs the same bound function. */
  readonly #aborted = (): void => {
    if (this.#settled) return
    this.#ends.reject(this.#signal?.reason)
    this.#abandon(new Error('aborted'))
  }

  #stop(error: Error): void {
    if (this.#settled) return
    this.#ends.reject(new TransportError(error, this.#status > 0))
    this.#abandon(error)
  }

  /** Ends the connection: remaining bytes of this reply must not be read as the next one. */
  #abandon(reason: Error): void {
    this.#settle()
    this.#reason = reason
    this.#controller?.abort(reason)
  }

  #settle(): void {
    this.#settled = true
    clearTimeout(this.#deadline)
    this.#signal?.removeEventListener('abort', this.#aborted)
    if (this.#body) this.#ends.buffers.give(this.#body)
  }
}

/** A DNS lookup that always returns `address`. */
const fixedLookup =
  (address: string): LookupFunction =>
  (_hostname, { all }, done) => {
    const family = isIP(address)
    if (all) done(null, [{ address, family }])
    else done(null, address, family)
  }

const coded = (code: string, message: string): Error => Object.assign(new Error(message), { code })

interface Buffers {
  take(): Buffer
  give(buffer: Buffer): void
}

const EMPTY = Buffer.alloc(0)
const FIRST_BYTES = 256 * 1024
const MAX_KEPT_BYTES = 8 * 1024 * 1024
const MAX_KEPT = 64

/** Reuses reply buffers: allocating 100 KB per reply dominates the cost of a plain client. */
function createBuffers(): Buffers {
  const free: Buffer[] = []
  return {
    take: () => free.pop() ?? Buffer.allocUnsafeSlow(FIRST_BYTES),
    give: buffer => {
      if (free.length < MAX_KEPT && buffer.length <= MAX_KEPT_BYTES) free.push(buffer)
    },
  }
}
