// Maps errors of the AWS SDK to ReembedErrors. Messages name buckets, keys, variables and regions,
// and never quote a reply, because a reply can contain a signed request. Transient errors have
// `retry: 'requeue'`.

import { codeOf, openFilesReason, ReembedError } from '@reembed/shared'
import { ObjectNotFound } from './not-found.ts'

/** The call that failed. */
export interface S3Call {
  /** The IAM action that the call needs. */
  readonly action: 's3:GetObject' | 's3:ListBucket' | 's3:PutObject' | 's3:DeleteObject'
  readonly bucket: string
  /** The object or prefix, as s3://bucket/key. */
  readonly url: string
  /** The name of the store in messages. */
  readonly storeName: string
}

/** The relevant fields of an SDK error; each is optional. */
interface Reply {
  readonly name?: unknown
  readonly $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean }
  readonly $response?: { headers?: Record<string, string> }
}

/** The HTTP status of an SDK error; undefined if there was no reply. */
export const statusOf = (error: unknown): number | undefined => (error as Reply).$metadata?.httpStatusCode

const CREDENTIALS =
  'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run with a role that has access'

const REFUSED_CREDENTIALS = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidToken',
  'InvalidClientTokenId',
  'TokenRefreshRequired',
])

/**
 * Transient errors with a status below 500: a conflict with a concurrent writer, or a damaged
 * request.
 */
const TRANSIENT = new Set([
  'ConditionalRequestConflict',
  'OperationAborted',
  'RequestTimeout',
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  'IncompleteBody',
  'Throttling',
  'TooManyRequestsException',
])

/** Maps an error of the store or the network. Returns any other error unchanged. */
export function s3Error(error: unknown, call: S3Call): unknown {
  if (!(error instanceof Error) || error instanceof ReembedError) return error
  const status = statusOf(error)
  return status === undefined || status < 300 ? connectionError(error, call) : replyError(error, status, call)
}

function replyError(error: Error, status: number, call: S3Call): ReembedError {
  const { name } = error
  const { action, bucket, url, storeName } = call
  const { $metadata, $response } = error as Reply
  const headers = $response?.headers ?? {}
  const doing = `${action} on ${url}`
  // A reply to HEAD has no body, so it has no error name.
  const answer = /^[A-Z]\w+$/.test(name) && name !== 'Unknown' ? `${status} ${name}` : `${status}`

  if (name === 'RequestTimeTooSkewed' || (status === 403 && $metadata?.clockSkewCorrected)) {
    const seconds = Math.round((Date.now() - Date.parse(headers.date ?? '')) / 1000)
    const offset = `${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'}`
    return new ReembedError(
      'STORE_ACCESS_DENIED',
      `This machine's clock is ${offset} ${storeName}: correct the clock`,
      {
        // The SDK has recorded the offset and signs the next attempt with the store's time.
        retry: $metadata?.clockSkewCorrected ? 'requeue' : 'never',
      },
    )
  }
  // 408: a proxy, or a store other than AWS, timed out waiting for the rest of the request.
  if (TRANSIENT.has(name) || [408, 409, 429].includes(status) || (status >= 500 && status !== 501)) {
    return transient(`${storeName} answered ${doing} with ${answer}`)
  }
  if (REFUSED_CREDENTIALS.has(name)) {
    return denied(
      `${storeName} refused the credentials (${name}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN`,
    )
  }
  if (name === 'NoSuchBucket') {
    return new ReembedError(
      'SOURCE_NOT_FOUND',
      `There is no bucket '${bucket}' in ${storeName}: check its name`,
    )
  }
  const region = headers['x-amz-bucket-region']
  if (status === 301 || status === 307 || (status === 400 && region !== undefined)) {
    const known =
      region === undefined
        ? "another region: set AWS_REGION to the bucket's own"
        : `${region}: set AWS_REGION=${region}`
    return new ReembedError('USAGE', `Bucket '${bucket}' is in ${known}`)
  }
  if (status === 403) {
    // Without s3:ListBucket, S3 replies 403 for a missing object.
    const hint = action === 's3:GetObject' ? ' (and s3:ListBucket, if the object may be missing)' : ''
    return denied(`Access denied: ${doing}; allow ${action}${hint} for these credentials`)
  }
  if (status === 404) return new ObjectNotFound(url)
  if (status === 501)
    return new ReembedError(
      'STORE_UNSAFE',
      `${storeName} does not support a conditional ${doing}: use a store with conditional writes`,
    )
  return denied(`${storeName} refused ${doing} with ${answer}`)
}

/** No reply: the network or the configuration failed. */
function connectionError(error: Error, { storeName, url }: S3Call): unknown {
  // A redirect is followed by fetch, whose errors have the code in their cause.
  const code = codeOf(error) ?? codeOf(error.cause) ?? ''
  const openFiles = openFilesReason(error)
  if (openFiles) return denied(`Cannot connect to ${storeName}: ${openFiles}`)
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
      `${storeName} does not answer as an S3 store (${code || error.name}): check the address`,
    )
  }
  if (error.name === 'TimeoutError' || /^(E[A-Z_]+|ERR_STREAM_PREMATURE_CLOSE|UND_ERR_.*)$/.test(code)) {
    return transient(
      `Cannot reach ${storeName} (${code || 'timeout'}): check the address, the network and that it runs`,
    )
  }
  return error
}

/** The error of a call that the store did not answer in time. */
export const noReplyError = ({ action, url, storeName }: S3Call): ReembedError =>
  transient(
    `${storeName} does not answer ${action} on ${url}: check the address, the network and that it runs, or allow more time`,
    { option: 'timeout' },
  )

const denied = (message: string): ReembedError => new ReembedError('STORE_ACCESS_DENIED', message)

const transient = (message: string, options?: { readonly option: string }): ReembedError =>
  new ReembedError('STORE_UNREACHABLE', message, { retry: 'requeue', ...options })
