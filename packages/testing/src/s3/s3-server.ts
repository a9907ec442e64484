// An S3 server for tests, in this process and in memory: real HTTP, real signatures, atomic conditional puts, and
// faults on demand. What it does not know it refuses, so that no test passes on a guess.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import { type Bucket, createBucket, escapeXml, listXml, rangeOf, type StoredObject } from './s3-objects.ts'
import { checkBody, checkSignature, S3ErrorResponse } from './s3-signature.ts'

export interface S3Request {
  /** 0 for the first request that the server got. */
  readonly index: number
  readonly operation: 'PutObject' | 'GetObject' | 'HeadObject' | 'DeleteObject' | 'ListObjectsV2' | 'other'
  readonly bucket: string
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** How a request goes wrong. */
export type S3Fault =
  /** Answered with an error, without being done. */
  | { readonly status: number; readonly code: string; readonly headers?: Readonly<Record<string, string>> }
  /** The connection breaks before the request is done. */
  | 'reset'
  /** The request is done, or refused, and the connection breaks before the reply. */
  | 'reply-lost'
  /** The reply waits: before it begins, or after so many bytes of its body. */
  | { readonly delayMs: number; readonly afterBytes?: number }
  /** The connection breaks after so many bytes of the reply's body. */
  | { readonly truncateAfter: number }

export interface S3ServerOptions {
  /** 'test' by default. */
  readonly buckets?: readonly string[]
  readonly accessKeyId?: string
  readonly secretAccessKey?: string
  /** Called for every request. */
  readonly faults?: (request: S3Request) => S3Fault | undefined
  /** Be the unsafe store: take every put. */
  readonly ignoreIfNoneMatch?: boolean
  /** How far the server's clock is ahead of ours. */
  readonly clockOffsetMs?: number
  /** Most keys in one page of a listing. */
  readonly pageSize?: number
}

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string
  /** The variables with which a process reaches this server. */
  readonly env: Readonly<Record<string, string>>
  /** Every request so far, in the order of arrival. */
  readonly requests: readonly S3Request[]
  /** The objects of a bucket, to look at and to tamper with. */
  bucket(name: string): Bucket
}

/** Starts the server on a free port of the loopback interface. */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const {
    accessKeyId = 'test-key',
    secretAccessKey = 'test-secret',
    clockOffsetMs = 0,
    pageSize = 1000,
  } = options
  const clock = (): number => Date.now() + clockOffsetMs
  const buckets = new Map((options.buckets ?? ['test']).map(name => [name, createBucket(clock)]))
  const requests: S3Request[] = []
  const closing = new AbortController()

  const server = createServer(async (request, response) => {
    const parsed = parse(request, requests.length)
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
      case 'HeadObject':
        return read(bucket, key, headers, response)
      default:
        throw new S3ErrorResponse(501, 'NotImplemented')
    }
  }

  function put(bucket: Bucket, key: string, request: IncomingMessage, sent: Buffer): StoredObject {
    const { headers } = request
    if (Buffer.byteLength(key) > 1024) throw new S3ErrorResponse(400, 'KeyTooLongError')
    if (headers['if-match'] !== undefined) throw new S3ErrorResponse(501, 'NotImplemented')
    const { body, checksums } = checkBody(request, sent)
    // From here to the end nothing waits, so the check and the put are one step.
    if (headers['if-none-match'] === '*' && bucket.get(key) && !options.ignoreIfNoneMatch) {
      throw new S3ErrorResponse(412, 'PreconditionFailed')
    }
    const kept = Object.entries(headers).filter(
      ([name]) => name === 'content-type' || name.startsWith('x-amz-meta-'),
    )
    return bucket.put(key, body, {
      ...Object.fromEntries(kept.map(([name, value]) => [name, String(value)])),
      ...checksums,
    })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  /** Sends the reply, as the fault has it. */
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
    bucket(name) {
      const bucket = buckets.get(name)
      if (!bucket) throw new Error(`The test server has no bucket '${name}'`)
      return bucket
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      closing.abort()
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** Paths are taken apart by hand: URL would resolve '..', which a key may hold. */
function parse({ method, url = '', headers }: IncomingMessage, index: number): S3Request {
  const [path = '', search = ''] = url.split('?', 2)
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

/** 'x-id' only names the operation; any other parameter asks for something else than the object. */
const OBJECT_PARAMETERS = new Set(['x-id'])

/** GetObject and HeadObject. */
function read(bucket: Bucket, key: string, headers: S3Request['headers'], response: ServerResponse): Buffer {
  const stored = bucket.get(key)
  if (!stored) throw new S3ErrorResponse(404, 'NoSuchKey')
  const ifMatch = headers['if-match']
  if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== stored.etag)
    throw new S3ErrorResponse(412, 'PreconditionFailed')
  const size = stored.body.length
  const range = headers.range === undefined ? { start: 0, end: size } : rangeOf(String(headers.range), size)
  if (!range) throw new S3ErrorResponse(416, 'InvalidRange')

  for (const [name, value] of Object.entries(stored.headers)) {
    // Of a part S3 gives no checksum, and of the whole only on request.
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

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const { status, code, message } =
    error instanceof S3ErrorResponse ? error : new S3ErrorResponse(500, 'InternalError', String(error))
  response.statusCode = status
  response.setHeader('content-type', 'application/xml')
  // A reply to HEAD has no body, whatever went wrong.
  response.end(
    request.method === 'HEAD'
      ? ''
      : `<Error><Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message></Error>`,
  )
}

const write = (response: ServerResponse, piece: Buffer): Promise<void> =>
  new Promise((resolve, reject) => response.write(piece, error => (error ? reject(error) : resolve())))
