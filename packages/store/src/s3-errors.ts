// What an S3 failure means to a person, in one line. Messages name buckets, keys, variables and regions; never a
// reply's own text, which can hold signed requests. `retry: 'requeue'` marks what another try may mend.

import { codeOf, ReembedError } from '@reembed/shared'
import { ObjectNotFound } from './not-found.ts'

/** The call that failed. */
export interface S3Call {
  /** The right it needs. */
  readonly action: 's3:GetObject' | 's3:ListBucket' | 's3:PutObject' | 's3:DeleteObject'
  readonly bucket: string
  /** What it was for, as s3://bucket/key. */
  readonly url: string
  /** The store as a person knows it. */
  readonly storeName: string
}

/** The parts of an SDK error that count here; every one can be missing. */
interface Reply {
  readonly name?: unknown
  readonly $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean }
  readonly $response?: { headers?: Record<string, string> }
}

/** The HTTP status that an SDK error stands for, undefined if there was no reply. */
export const statusOf = (error: unknown): number | undefined => (error as Reply).$metadata?.httpStatusCode

const CREDENTIALS =
  'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run with a role that can reach it'

const REFUSED_CREDENTIALS = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidToken',
  'InvalidClientTokenId',
  'TokenRefreshRequired',
])

/** Replies below 500 that pass: a conflict with another writer, and a request that got hurt on its way. */
const PASSING = new Set([
  'ConditionalRequestConflict',
  'OperationAborted',
  'RequestTimeout',
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  'IncompleteBody',
  'Throttling',
  'TooManyRequestsException',
])

/** Gives back errors that come neither from the store nor from the way to it as they are. */
export function s3Error(error: unknown, call: S3Call): unknown {
  if (!(error instanceof Error) || error instanceof ReembedError) return error
  const status = statusOf(error)
  return status === undefined || status < 300 ? wayError(error, call) : replyError(error, status, call)
}

function replyError(error: Error, status: number, call: S3Call): ReembedError {
  const { name } = error
  const { action, bucket, url, storeName } = call
  const { $metadata, $response } = error as Reply
  const headers = $response?.headers ?? {}
  const doing = `${action} on ${url}`
  // A reply to HEAD has no body, so it has no name either.
  const answer = /^[A-Z]\w+$/.test(name) && name !== 'Unknown' ? `${status} ${name}` : `${status}`

  if (name === 'RequestTimeTooSkewed' || (status === 403 && $metadata?.clockSkewCorrected)) {
    const seconds = Math.round((Date.now() - Date.parse(headers.date ?? '')) / 1000)
    const offset = `${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'}`
    return new ReembedError(
      'STORE_ACCESS_DENIED',
      `This machine's clock is ${offset} ${storeName}: set it right`,
      {
        // The SDK has taken note of the offset, and signs the next try by the store's clock.
        retry: $metadata?.clockSkewCorrected ? 'requeue' : 'never',
      },
    )
  }
  // 408: a proxy, or a store other than AWS, got tired of waiting for the rest of the request.
  if (PASSING.has(name) || [408, 409, 429].includes(status) || (status >= 500 && status !== 501)) {
    return later(`${storeName} answered ${doing} with ${answer}`)
  }
  if (REFUSED_CREDENTIALS.has(name)) {
    return denied(
      `${storeName} refused the credentials (${name}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN`,
    )
  }
  if (name === 'NoSuchBucket') {
    return new ReembedError('SOURCE_NOT_FOUND', `There is no bucket '${bucket}' in ${storeName}`)
  }
  const region = headers['x-amz-bucket-region']
  if (status === 301 || status === 307 || (status === 400 && region !== undefined)) {
    const known =
      region === undefined
        ? "another region: set AWS_REGION to the bucket's own"
        : `${region}: set AWS_REGION=${region}`
    return new ReembedError('USAGE', `Bucket '${bucket}' lies in ${known}`)
  }
  if (status === 403) {
    // Without the right to list, S3 says 403 where 404 is meant.
    const hint = action === 's3:GetObject' ? ' (and s3:ListBucket, if the object may be missing)' : ''
    return denied(`Access denied: ${doing}; allow ${action}${hint} for these credentials`)
  }
  if (status === 404) return new ObjectNotFound(url)
  if (status === 501)
    return new ReembedError('STORE_UNSAFE', `${storeName} cannot do ${doing} on a condition`)
  return denied(`${storeName} refused ${doing} with ${answer}`)
}

/** No reply: the way to the store, or our own settings, failed. */
function wayError(error: Error, { storeName, url }: S3Call): unknown {
  const code = codeOf(error) ?? ''
  if (error.name === 'CredentialsProviderError') return denied(`No credentials for ${url}: ${CREDENTIALS}`)
  if (error.message === 'Region is missing') {
    return new ReembedError('USAGE', `No region for ${url}: set AWS_REGION to the bucket's region`)
  }
  if (/checksum mismatch/i.test(error.message)) {
    return new ReembedError('CORRUPT', `${url} does not match its checksum`, { retry: 'retry' })
  }
  const certificate = /CERT|^ERR_TLS|^ERR_SSL|^EPROTO|SIGNATURE|^HPE_/.test(code)
  if (certificate || error instanceof SyntaxError || statusOf(error) !== undefined) {
    return new ReembedError(
      'STORE_UNREACHABLE',
      `${storeName} does not answer as an S3 store (${code || error.name})`,
    )
  }
  if (error.name === 'TimeoutError' || /^(E[A-Z_]+|ERR_STREAM_PREMATURE_CLOSE|UND_ERR_.*)$/.test(code)) {
    return later(
      `Cannot reach ${storeName} (${code || 'timeout'}): check the address, the network and that it runs`,
    )
  }
  return error
}

const denied = (message: string): ReembedError => new ReembedError('STORE_ACCESS_DENIED', message)

const later = (message: string): ReembedError =>
  new ReembedError('STORE_UNREACHABLE', message, { retry: 'requeue' })
