// An in-memory S3 server for tests: HTTP, checked signatures, atomic conditional puts, and injected
// faults. It answers requests that it does not implement with 501, so no test passes by accident.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import { startEdge } from './s3-edge.ts'
import { type Bucket, createBucket, escapeXml, listXml, rangeOf, type StoredObject } from './s3-objects.ts'
import { checkBody, checkSignature, S3ErrorResponse } from './s3-signature.ts'

export interface S3Request {
  /** Number of the request, from 0. */
  readonly index: number
  readonly operation: 'PutObject' | 'GetObject' | 'HeadObject' | 'DeleteObject' | 'ListObjectsV2' | 'other'
  readonly bucket: string
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** A fault of one request. */
export type S3Fault =
  /** Answers with an error and does not execute the request. */
  | { readonly status: number; readonly code: string; readonly headers?: Readonly<Record<string, string>> }
  /** Resets the connection before the request is executed. */
  | 'reset'
  /** Executes the request, then resets the connection before the reply. */
  | 'reply-lost'
  /** Delays the reply: before it begins, or after `afterBytes` bytes of its body. */
  | { readonly delayMs: number; readonly afterBytes?: number }
  /** Resets the connection after this many bytes of the reply's body. */
  | { readonly truncateAfter: number }

export interface S3ServerOptions {
  /** Default ['test']. */
  readonly buckets?: readonly string[]
  /** Default 'test-key'. */
  readonly accessKeyId?: string
  /** Default 'test-secret'. */
  readonly secretAccessKey?: string
  /** Called for each request. Returns the fault, if any. */
  readonly faults?: (request: S3Request) => S3Fault | undefined
  /** Accepts every put, as stores without conditional writes do. Default false. */
  readonly ignoreIfNoneMatch?: boolean
  /** Ignores If-Match on reads, as some gateways do. Default false. */
  readonly ignoreIfMatch?: boolean
  /** Keeps no user metadata. Default false. */
  readonly dropMetadata?: boolean
  /**
   * Answers GetObject with 302 and a URL of another origin, which refuses requests with
   * credentials. With the two options above and a `pathPrefix`, this is the gateway of Hugging
   * Face's buckets.
   */
  readonly redirectGets?: boolean
  /** Path in front of the buckets: '/my-org'. It is part of the endpoint's URL. */
  readonly pathPrefix?: string
  /**
   * CopyObject: with `If-None-Match` (AWS since 2025), without it, so that it overwrites, or not at
   * all. Default 'conditional'.
   */
  readonly copies?: 'conditional' | 'unconditional' | 'none'
  /**
   * Milliseconds between the check of `If-None-Match` and the put, as in a store whose conditional
   * writes are not atomic (moto 5.2). Default 0: one atomic step.
   */
  readonly checkToPutMs?: number
  /** Milliseconds by which the server's clock is ahead of the system clock. Default 0. */
  readonly clockOffsetMs?: number
  /** Maximum number of keys per page of a listing. Default 1000. */
  readonly pageSize?: number
}

export interface S3Server extends AsyncDisposable {
  /** For example `http://127.0.0.1:40123`. */
  readonly endpoint: string
  /** Environment variables (`AWS_*`) with which a client connects to this server. */
  readonly env: Readonly<Record<string, string>>
  /** All requests in the order of arrival. */
  readonly requests: readonly S3Request[]
  /** Requests that followed a redirect: the names of their headers. */
  readonly redirected: readonly (readonly string[])[]
  /** The objects of a bucket, to inspect and to modify. */
  bucket(name: string): Bucket
}

/**
 * Starts an S3 server on a free port of the loopback interface.
 * @example
 * ```ts
 * import { openStore } from '@reembed/store'
 * import { startS3Server } from '@reembed/testing'
 *
 * // Every second put is executed, but its reply is lost.
 * await using s3 = await startS3Server({
 *   buckets: ['vectors'],
 *   faults: ({ operation, index }) =>
 *     operation === 'PutObject' && index % 2 === 1 ? 'reply-lost' : undefined,
 * })
 * Object.assign(process.env, s3.env)
 * await using store = await openStore('s3://vectors/wiki')
 * await store.putIfAbsent('a', Buffer.from('b'))
 * console.log(s3.bucket('vectors').keys()) // ['wiki/a']
 * ```
 */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const {
    accessKeyId = 'test-key',
    secretAccessKey = 'test-secret',
    clockOffsetMs = 0,
    pageSize = 1000,
    checkToPutMs = 0,
    pathPrefix = '',
  } = options
  const clock = (): number => Date.now() + clockOffsetMs
  const buckets = new Map((options.buckets ?? ['test']).map(name => [name, createBucket(clock)]))
  const requests: S3Request[] = []
  const closing = new AbortController()

  const server = createServer(async (request, response) => {
    const parsed = parse(request, requests.length, pathPrefix)
    requests.push(parsed)
    const fault = options.faults?.(parsed)
    if (fault === 'reset') return void request.socket.destroy()
    const now = clock()
    response.setHeader('date', new Date(now).toUTCString())
    response.setHeader('x-amz-request-id', String(parsed.index))
    try {
      const sent = await buffer(request)
      if (fault !== undefined && fault !== 'reply-lost' && 'status' in fault) {
        for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value)
        throw new S3ErrorResponse(fault.status, fault.code)
      }
      checkSignature(request, { accessKeyId, secretAccessKey }, now)
      const bucket = buckets.get(parsed.bucket)
      if (!bucket) throw new S3ErrorResponse(404, 'NoSuchBucket')
      if (checkToPutMs > 0 && parsed.operation === 'PutObject') {
        requireAbsent(bucket, parsed)
        await sleep(checkToPutMs, undefined, { signal: closing.signal })
      }
      const body = answer(parsed, bucket, request, sent, response)
      if (fault === 'reply-lost') return void request.socket.destroy()
      await send(response, body, fault)
    } catch (error) {
      if (response.headersSent || fault === 'reply-lost') return void request.socket.destroy()
      refuse(request, response, error)
    }
  })

  function answer(
    { operation, bucket: name, key, query, headers }: S3Request,
    bucket: Bucket,
    request: IncomingMessage,
    sent: Buffer,
    response: ServerResponse,
  ): Buffer {
    switch (operation) {
      case 'PutObject':
        if (headers['x-amz-copy-source'] !== undefined) return copy(bucket, key, headers)
        response.setHeader('etag', put(bucket, key, request, sent).etag)
        return Buffer.alloc(0)
      case 'DeleteObject':
        bucket.remove(key)
        response.statusCode = 204
        return Buffer.alloc(0)
      case 'ListObjectsV2':
        response.setHeader('content-type', 'application/xml')
        return Buffer.from(listXml(name, bucket, query, pageSize))
      case 'GetObject':
        if (edge) return redirect(edge.origin, { name, key, bucket }, response)
        return read(bucket, key, headers, response, options.ignoreIfMatch)
      case 'HeadObject':
        return read(bucket, key, headers, response, options.ignoreIfMatch)
      default:
        throw new S3ErrorResponse(501, 'NotImplemented')
    }
  }

  /** @throws S3ErrorResponse 412 for a conditional put of an existing key */
  function requireAbsent(bucket: Bucket, { key, headers }: Pick<S3Request, 'key' | 'headers'>): void {
    if (headers['if-none-match'] === '*' && bucket.get(key) && !options.ignoreIfNoneMatch)
      throw new S3ErrorResponse(412, 'PreconditionFailed')
  }

  /** CopyObject: the bytes and the metadata of another object of the bucket. */
  function copy(bucket: Bucket, key: string, headers: S3Request['headers']): Buffer {
    const { copies = 'conditional' } = options
    if (copies === 'none') throw new S3ErrorResponse(501, 'NotImplemented')
    const source = decodeURIComponent(String(headers['x-amz-copy-source'])).replace(/^\//, '')
    const stored = bucket.get(source.slice(source.indexOf('/') + 1))
    if (!stored) throw new S3ErrorResponse(404, 'NoSuchKey')
    if (copies === 'conditional') requireAbsent(bucket, { key, headers })
    const { etag } = bucket.put(key, stored.body, stored.headers)
    return Buffer.from(`<CopyObjectResult><ETag>${escapeXml(etag)}</ETag></CopyObjectResult>`)
  }

  function put(bucket: Bucket, key: string, request: IncomingMessage, sent: Buffer): StoredObject {
    const { headers } = request
    if (Buffer.byteLength(key) > 1024) throw new S3ErrorResponse(400, 'KeyTooLongError')
    if (headers['if-match'] !== undefined) throw new S3ErrorResponse(501, 'NotImplemented')
    const { body, checksums } = checkBody(request, sent)
    // No await from here to the end, so the check and the put are atomic.
    if (checkToPutMs === 0) requireAbsent(bucket, { key, headers })
    const kept = Object.entries(headers).filter(
      ([name]) =>
        name === 'content-type' || (name.startsWith('x-amz-meta-') && options.dropMetadata !== true),
    )
    return bucket.put(key, body, {
      ...Object.fromEntries(kept.map(([name, value]) => [name, String(value)])),
      ...checksums,
    })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathPrefix}`
  const edge = options.redirectGets ? await startEdge(name => buckets.get(name)) : undefined

  /** Sends the reply, with the fault. */
  async function send(response: ServerResponse, body: Buffer, fault: Exclude<S3Fault, string> | undefined) {
    if (!response.hasHeader('content-length')) response.setHeader('content-length', body.length)
    if (fault && 'truncateAfter' in fault) {
      await write(response, body.subarray(0, fault.truncateAfter))
      response.destroy()
      return
    }
    const first = fault && 'delayMs' in fault ? (fault.afterBytes ?? 0) : body.length
    if (first > 0) await write(response, body.subarray(0, first))
    if (fault && 'delayMs' in fault) await sleep(fault.delayMs, undefined, { signal: closing.signal })
    response.end(body.subarray(first))
  }

  return {
    endpoint,
    env: {
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: 'us-east-1',
    },
    requests,
    redirected: edge?.requests ?? [],
    bucket(name) {
      const bucket = buckets.get(name)
      if (!bucket) throw new Error(`the S3 test server has no bucket '${name}': add it to the option buckets`)
      return bucket
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      closing.abort()
      await edge?.[Symbol.asyncDispose]()
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** Parses paths without URL, which would resolve '..'; a key may contain '..'. */
function parse({ method, url = '', headers }: IncomingMessage, index: number, prefix: string): S3Request {
  const [whole = '', search = ''] = url.split('?', 2)
  const path = whole.startsWith(`${prefix}/`) ? whole.slice(prefix.length) : ''
  const [, bucket = '', key = ''] = (/^\/([^/]*)\/?(.*)$/s.exec(path) ?? []).map(part =>
    decodeURIComponent(part),
  )
  const query = new URLSearchParams(search)
  const subresource = [...query.keys()].some(name => !OBJECT_PARAMETERS.has(name))
  let operation: S3Request['operation'] = 'other'
  if (key === '') operation = method === 'GET' && query.get('list-type') === '2' ? 'ListObjectsV2' : 'other'
  else if (!subresource) operation = OPERATIONS[method ?? ''] ?? 'other'
  return { index, operation, bucket, key, query, headers }
}

const OPERATIONS: Record<string, S3Request['operation']> = {
  PUT: 'PutObject',
  GET: 'GetObject',
  HEAD: 'HeadObject',
  DELETE: 'DeleteObject',
}

/** 'x-id' only names the operation; any other parameter selects a subresource, not the object. */
const OBJECT_PARAMETERS = new Set(['x-id'])

/** GetObject and HeadObject. */
function read(
  bucket: Bucket,
  key: string,
  headers: S3Request['headers'],
  response: ServerResponse,
  ignoreIfMatch = false,
): Buffer {
  const stored = bucket.get(key)
  if (!stored) throw new S3ErrorResponse(404, 'NoSuchKey')
  const ifMatch = ignoreIfMatch ? undefined : headers['if-match']
  if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== stored.etag)
    throw new S3ErrorResponse(412, 'PreconditionFailed')
  const size = stored.body.length
  const range = headers.range === undefined ? { start: 0, end: size } : rangeOf(String(headers.range), size)
  if (!range) throw new S3ErrorResponse(416, 'InvalidRange')

  for (const [name, value] of Object.entries(stored.headers)) {
    // S3 returns the checksum of a whole object on request, and none for a range.
    const shown = headers['x-amz-checksum-mode'] === 'ENABLED' && headers.range === undefined
    if (shown || !name.startsWith('x-amz-checksum-')) response.setHeader(name, value)
  }
  response.setHeader('etag', stored.etag)
  response.setHeader('last-modified', stored.modified.toUTCString())
  response.setHeader('accept-ranges', 'bytes')
  if (headers.range !== undefined) {
    response.statusCode = 206
    response.setHeader('content-range', `bytes ${range.start}-${range.end - 1}/${size}`)
  }
  return stored.body.subarray(range.start, range.end)
}

function redirect(
  origin: string,
  { name, key, bucket }: { readonly name: string; readonly key: string; readonly bucket: Bucket },
  response: ServerResponse,
): Buffer {
  if (!bucket.get(key)) throw new S3ErrorResponse(404, 'NoSuchKey')
  response.statusCode = 302
  response.setHeader('location', `${origin}/?${new URLSearchParams({ name, key })}`)
  return Buffer.alloc(0)
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const { status, code, message } =
    error instanceof S3ErrorResponse ? error : new S3ErrorResponse(500, 'InternalError', String(error))
  response.statusCode = status
  response.setHeader('content-type', 'application/xml')
  // A reply to HEAD has no body, even for an error.
  response.end(
    request.method === 'HEAD'
      ? ''
      : `<Error><Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message></Error>`,
  )
}

const write = (response: ServerResponse, piece: Buffer): Promise<void> =>
  new Promise((resolve, reject) => response.write(piece, error => (error ? reject(error) : resolve())))
