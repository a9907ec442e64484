// S3 and compatible servers as a store. It is loaded when the first s3:// URL is opened, because it
// imports the AWS SDK. The SDK's own retries are off: if the reply to a put is lost, the SDK would
// report the refusal of its second put, although the object is ours.

import { createHash } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { homedir } from 'node:os'
import {
  CopyObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'

import { type Deadlines, deadlines, proxyEnv, ReembedError } from '@reembed/shared'
import { createBackoff } from './backoff.ts'
import { createConfirmedPut, type PutOutcome } from './confirmed-put.ts'
import { collect, compareKeys, plainKey } from './keys.ts'
import { ObjectNotFound } from './not-found.ts'
import { callS3, DEFAULT_TRIES, mapS3Error } from './s3-calls.ts'
import { type S3Call, statusOf } from './s3-errors.ts'
import type { S3Options } from './s3-options.ts'
import { readObject } from './s3-read.ts'
import { endpointOf, parseS3Url } from './s3-url.ts'
import type { ListedObject, ListOptions, ReadOptions, Store } from './store.ts'
import { createTimedRead } from './timed-read.ts'

/**
 * Metadata key of the body's SHA-256. After a lost reply it shows whether the object at the key is
 * ours.
 */
const DIGEST = 'reembed-sha256'

/** The object of the check for conditional copies. Repeated checks leave it and one copy. */
const COPY_CHECK_KEY = 'reembed-copy-check.json'

/**
 * Opens 's3://bucket/prefix'; keys are relative to the prefix. Credentials come from the SDK's
 * default chain. No request is sent before the first call. Disposal aborts calls in flight.
 */
export async function openS3(url: string, options: S3Options = {}): Promise<Store> {
  const { bucket, root } = parseS3Url(url)
  const limits = deadlines().store
  const { client, storeName } = createClient(options, limits)
  const { tries = DEFAULT_TRIES, kmsKeyId = process.env.AWS_SSE_KMS_KEY_ID || undefined } = options
  const payer = requestPayer(options)
  const encryption =
    kmsKeyId === undefined ? {} : { ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: kmsKeyId }
  let copies: Promise<boolean> | undefined

  const base = options.shownUrl ?? `s3://${bucket}/${root}`
  const urlOf = (key: string): string => base + key
  const fullKey = (key: string): string => root + plainKey(key, base)
  const callOf = (action: S3Call['action'], key: string): S3Call => ({
    action,
    bucket,
    url: urlOf(key),
    storeName,
  })
  const changed = (key: string): ReembedError =>
    new ReembedError(
      'SOURCE_CHANGED',
      `${urlOf(key)} was changed or removed since the run was planned: plan a new run`,
    )
  const unsafe = (why: string): ReembedError => new ReembedError('STORE_UNSAFE', `${storeName} ${why}`)

  /**
   * Converts a time of the store to local time. The SDK measures offsets from 4 minutes by the Date
   * of replies.
   */
  const localTime = (storeTime: Date | undefined): number | undefined =>
    storeTime && storeTime.getTime() - client.config.systemClockOffset

  const withRetries = <T>(
    call: S3Call,
    signal: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
    bytes = 0,
  ): Promise<T> => callS3(call, { tries, limits, signal, bytes }, run)

  /** One HeadObject without retries. */
  async function headOnce(key: string, ifMatch?: string, signal?: AbortSignal) {
    try {
      const command = new HeadObjectCommand({
        Bucket: bucket,
        Key: fullKey(key),
        ...matching(ifMatch),
        ...payer,
      })
      return await client.send(command, sending(signal))
    } catch (error) {
      if (statusOf(error) === 404) return undefined
      throw statusOf(error) === 412 ? changed(key) : error
    }
  }

  /** One conditional CopyObject, without retries. The copy keeps the metadata and so the digest. */
  async function copyOnce(
    from: string,
    to: string,
    signal: AbortSignal | undefined,
  ): Promise<'created' | 'exists'> {
    try {
      const source = `${bucket}/${fullKey(from)}`.split('/').map(encodeURIComponent).join('/')
      const command = new CopyObjectCommand({
        Bucket: bucket,
        Key: fullKey(to),
        CopySource: source,
        IfNoneMatch: '*',
        ...payer,
        ...encryption,
      })
      await client.send(command, sending(signal))
      return 'created'
    } catch (error) {
      if (statusOf(error) === 412) return 'exists'
      if (statusOf(error) === 404 && (error as Error).name !== 'NoSuchBucket')
        throw new ObjectNotFound(urlOf(from))
      throw error
    }
  }

  /**
   * Whether the store refuses to copy onto an existing key. AWS does so since 2025; a store that
   * does not know the condition would overwrite, and is sent no copy of a shard.
   */
  async function supportsCopy(): Promise<boolean> {
    // No signal: one job must not end the check for the others.
    const call = callOf('s3:PutObject', COPY_CHECK_KEY)
    const probe = async (signal: AbortSignal): Promise<'created' | 'exists' | 'refused'> => {
      try {
        return await copyOnce(COPY_CHECK_KEY, `${COPY_CHECK_KEY}-copy`, signal)
      } catch (error) {
        if (COPY_REFUSED.has(statusOf(error) ?? 0)) return 'refused'
        throw error
      }
    }
    await store.putIfAbsent(COPY_CHECK_KEY, Buffer.from('{}\n'))
    const first = await withRetries(call, undefined, probe)
    return first === 'created' ? (await withRetries(call, undefined, probe)) === 'exists' : first === 'exists'
  }

  async function* stream(
    key: string,
    { start = 0, end = Number.POSITIVE_INFINITY, ifMatch, signal }: ReadOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const call = callOf('s3:GetObject', key)
    if (start >= end) {
      // HTTP has no empty range, but a missing object must fail all the same.
      const found = await withRetries(call, signal, signal => headOnce(key, ifMatch, signal))
      if (found && (ifMatch === undefined || bare(found.ETag) === ifMatch)) return
      throw ifMatch === undefined ? new ObjectNotFound(urlOf(key)) : changed(key)
    }
    const retry = createBackoff({ tries, withinMs: limits.callMs, signal })
    const read = createTimedRead({ dependency: storeName, ...limits })
    let at = start
    let etag = ifMatch
    while (true) {
      signal?.throwIfAborted()
      using attempt = read.attempt(signal)
      try {
        const range =
          at > 0 || end < Number.POSITIVE_INFINITY ? `bytes=${at}-${end - 1}`.replace('Infinity', '') : ''
        const command = new GetObjectCommand({
          Bucket: bucket,
          Key: fullKey(key),
          ...matching(etag),
          ...(range && { Range: range }),
          ...payer,
        })
        const reply = await attempt.head(() => readObject(client, command, range, attempt.signal))
        const { body, length } = reply
        if (range && !reply.contentRange?.startsWith(`bytes ${at}-`))
          throw unsafe('ignores Range, so slices cannot be read: use a store that supports it')
        // Some gateways ignore If-Match. A reply without an etag was sent by another place: there
        // the store is asked, after the reply, so that its bytes are of this object or an earlier
        // one.
        const found = reply.etag ?? (await attempt.head(() => headOnce(key, undefined, attempt.signal)))?.ETag
        if (etag !== undefined && bare(found) !== etag) {
          await closeBody(body)
          throw changed(key)
        }
        // After a broken connection, the rest must come from the same object.
        etag ??= found && bare(found)
        const stop = length === undefined ? undefined : at + length
        for await (const piece of attempt.pieces(body)) {
          at += piece.length
          yield piece
          // After the caller has processed the piece: its time is no time of the store.
          retry.reset()
        }
        if (stop === undefined || at === stop) return
        throw Object.assign(new Error('body cut short'), { code: 'ECONNRESET' })
      } catch (error) {
        const status = statusOf(error)
        if (status === 416) return
        if (status === 412) throw changed(key)
        if (status === 404 && etag !== undefined && (error as Error).name !== 'NoSuchBucket')
          throw changed(key)
        signal?.throwIfAborted()
        const mapped = mapS3Error(error, call, attempt)
        if (read.isSpent) throw mapped
        await retry.wait(mapped)
      }
    }
  }

  const store: Store = {
    url: urlOf('').replace(/\/$/, ''),
    stream,
    get: (key, options) => collect(stream(key, options)),

    async head(key, { signal } = {}) {
      const call = callOf('s3:GetObject', key)
      const found = await withRetries(call, signal, signal => headOnce(key, undefined, signal))
      return found && { key, size: found.ContentLength ?? 0, etag: bare(found.ETag) }
    },

    async *list(
      prefix,
      { startAfter, signal }: ListOptions = {},
    ): AsyncGenerator<ListedObject, void, undefined> {
      const call = callOf('s3:ListBucket', prefix)
      let last = startAfter === undefined ? undefined : root + startAfter
      let token: string | undefined
      do {
        const command = new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: root + prefix,
          // XML cannot represent every character of a key.
          EncodingType: 'url',
          ...payer,
          ...(token !== undefined
            ? { ContinuationToken: token }
            : last !== undefined
              ? { StartAfter: last }
              : {}),
        })
        const page = await withRetries(call, signal, signal => client.send(command, sending(signal)))
        for (const { Key: written = '', Size: size = 0, ETag, LastModified } of page.Contents ?? []) {
          const full =
            page.EncodingType === 'url' ? decodeURIComponent(written.replaceAll('+', ' ')) : written
          if (last !== undefined && compareKeys(full, last) <= 0)
            throw unsafe('does not list keys in the order of their UTF-8 bytes: use a store that does')
          last = full
          // Tools that show folders create an object at the root. It has no key in this store.
          if (full === root) continue
          yield { key: full.slice(root.length), size, etag: bare(ETag), modifiedMs: localTime(LastModified) }
        }
        token = page.IsTruncated ? page.NextContinuationToken : undefined
      } while (token !== undefined)
    },

    async putIfAbsent(key, body, { contentType = 'application/octet-stream', sha256, signal } = {}) {
      const digest = sha256 ?? createHash('sha256').update(body).digest('hex')
      let attempt: AbortSignal | undefined
      const command = new PutObjectCommand({
        Bucket: bucket,
        Key: fullKey(key),
        Body: body,
        ContentType: contentType,
        IfNoneMatch: '*',
        Metadata: { [DIGEST]: digest },
        ...payer,
        ...encryption,
      })
      const put = createConfirmedPut({
        async put() {
          try {
            await client.send(command, sending(attempt))
            return 'created'
          } catch (error) {
            if (statusOf(error) === 412) return 'exists'
            throw error
          }
        },
        async findWriter() {
          const found = await headOnce(key, undefined, attempt)
          if (found === undefined) return undefined
          const written = found.Metadata?.[DIGEST]
          // Some stores keep no metadata: there the bytes tell.
          const isOurs =
            written === undefined
              ? found.ContentLength === body.length &&
                Buffer.compare(await collect(stream(key, { signal: attempt })), body) === 0
              : written === digest
          return isOurs ? 'self' : 'concurrent_writer'
        },
        mayHaveSucceeded(error) {
          const status = statusOf(error) ?? 500
          return status >= 500 || status === 408
        },
      })
      const tried = (signal: AbortSignal): Promise<PutOutcome> => {
        attempt = signal
        return put()
      }
      return withRetries(callOf('s3:PutObject', key), signal, tried, body.length)
    },

    async copyIfAbsent(from, to, { signal } = {}) {
      copies ??= supportsCopy()
      const isSupported = await copies.catch((error: unknown) => {
        copies = undefined
        throw error
      })
      if (!isSupported) return 'unsupported'
      return withRetries(callOf('s3:PutObject', to), signal, signal => copyOnce(from, to, signal))
    },

    async [Symbol.asyncDispose]() {
      client.destroy()
    },
  }
  return store
}

/** Replies of a store that copies no objects, or not for this user. */
const COPY_REFUSED = new Set([400, 403, 405, 501])

/** Creates the SDK's client, and the store's name for messages. */
export function createClient(
  options: S3Options,
  limits: Deadlines['store'],
): { client: S3Client; storeName: string } {
  const { connections = 64 } = options
  const env = process.env
  const endpoint = endpointOf(options.endpoint || env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL)
  const region = options.region || env.AWS_REGION || env.AWS_DEFAULT_REGION || (endpoint && 'us-east-1')
  const checksums = options.checksums ?? (endpoint && 'when_required')
  const pathStyle = options.pathStyle ?? endpoint !== undefined
  const checking = checksums === 'when_required' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED'
  const anonymous = options.anonymous ?? /^(yes|true|1)$/i.test(env.AWS_NO_SIGN_REQUEST ?? '')
  const proxies = proxyEnv()
  const agent = { keepAlive: true, maxSockets: connections, ...(proxies && { proxyEnv: { ...proxies } }) }
  requireHome()
  const client = new S3Client({
    ...(anonymous && UNSIGNED),
    maxAttempts: 1,
    forcePathStyle: pathStyle,
    // A put that waits for '100 Continue' uses a connection outside the pool.
    expectContinueHeader: false,
    logger: SILENT,
    requestHandler: {
      connectionTimeout: limits.connectMs,
      socketTimeout: limits.socketMs,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent(agent),
      logger: SILENT,
    },
    ...(endpoint && { endpoint: endpoint.href }),
    ...(region && { region }),
    ...(checksums && { requestChecksumCalculation: checking, responseChecksumValidation: checking }),
  })
  return {
    client,
    storeName: endpoint ? `S3 at ${endpoint.origin}` : `AWS S3${region ? ` in ${region}` : ''}`,
  }
}

/** No credentials are searched for, and requests are sent as they are. */
const UNSIGNED = {
  credentials: { accessKeyId: '', secretAccessKey: '' },
  signer: { sign: async <T>(request: T): Promise<T> => request },
}

/** The parameter of each request to a requester-pays bucket. */
export const requestPayer = ({ requesterPays }: S3Options): { readonly RequestPayer?: 'requester' } =>
  (requesterPays ?? process.env.AWS_REQUEST_PAYER === 'requester') ? { RequestPayer: 'requester' } : {}

/** Closes a body that is not read. */
async function closeBody(body: AsyncIterable<Uint8Array>): Promise<void> {
  await body[Symbol.asyncIterator]().return?.()
}

/**
 * The SDK searches ~/.aws for credentials. Without HOME and for a user id without an entry in the
 * password file, as in a container with an arbitrary user id, `os.homedir` throws; then no such
 * folder exists.
 */
function requireHome(): void {
  if (process.env.HOME) return
  try {
    homedir()
  } catch {
    process.env.HOME = '/nonexistent'
  }
}

const nothing = (): void => {}
/** Errors are thrown; the SDK's logger would write to the console. */
const SILENT = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing }

export const sending = (signal: AbortSignal | undefined): { abortSignal?: AbortSignal } =>
  signal ? { abortSignal: signal } : {}

/** Removes the quotes of an etag, and the mark of a weak one, which proxies add. */
const bare = (etag: string | undefined): string => (etag ?? '').replace(/^(W\/)?"|"$/g, '')
const matching = (etag: string | undefined): { IfMatch?: string } =>
  etag === undefined ? {} : { IfMatch: `"${etag}"` }
