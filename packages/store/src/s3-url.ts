// Parses the two addresses of a configuration: a prefix in a bucket, and a store other than AWS.

import { ReembedError } from '@reembed/shared'
import { plainKey } from './keys.ts'
import type { S3Options } from './s3-options.ts'

const BUCKET = /^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$/
const ACCESS_POINT = /^arn:aws[a-z-]*:s3[a-z-]*:[a-z0-9-]+:\d{12}:accesspoint\/[a-z0-9-]{3,50}$/

/** The S3 gateway of Hugging Face Storage Buckets; the variable names another one. */
const HUB_GATEWAY = 'https://s3.hf.co'

/**
 * The place in S3 that a URL names: 's3://…', or 'hf://buckets/<namespace>/<bucket>/<prefix>',
 * which has an endpoint for each namespace. Undefined for any other URL.
 * @throws ReembedError USAGE for a bucket of the Hub without namespace or name
 */
export function s3PlaceOf(
  url: string,
  options: S3Options | undefined,
): { readonly url: string; readonly options?: S3Options | undefined } | undefined {
  if (url.startsWith('s3://')) return { url, options }
  if (!url.startsWith('hf://buckets/')) return undefined
  const [, namespace, rest] = /^hf:\/\/buckets\/([\w.-]+)\/([\w.-]+(?:\/.*)?)$/s.exec(url) ?? []
  if (namespace === undefined || rest === undefined) {
    throw new ReembedError('USAGE', `Expected hf://buckets/namespace/bucket/prefix, got '${url}'`)
  }
  const gateway = (process.env.HF_S3_ENDPOINT || HUB_GATEWAY).replace(/\/+$/, '')
  const shownUrl = `${url.replace(/\/+$/, '')}/`
  return {
    url: `s3://${rest}`,
    options: {
      ...options,
      endpoint: `${gateway}/${namespace}`,
      region: 'us-east-1',
      pathStyle: true,
      shownUrl,
    },
  }
}

/** Splits an s3:// URL. It does not decode: an escape or a query is part of the key. */
export function parseS3Url(url: string): { bucket: string; root: string } {
  // An access point has a slash in its name:
  // s3://arn:aws:s3:<region>:<account>:accesspoint/<name>/prefix.
  const [, bucket = '', prefix = ''] = /^s3:\/\/(arn:[^/]*\/[^/]*|[^/]*)\/*(.*)$/s.exec(url) ?? []
  if (bucket.includes('@')) {
    throw new ReembedError(
      'USAGE',
      'Credentials do not belong in an s3:// URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    )
  }
  if (bucket.endsWith('--x-s3')) {
    throw new ReembedError(
      'USAGE',
      `'${bucket}' is a directory bucket (S3 Express One Zone), which does not list keys in order: use a general purpose bucket`,
    )
  }
  if (!BUCKET.test(bucket) && !ACCESS_POINT.test(bucket)) {
    const why = bucket === '' ? '' : ': the name of a bucket has 3 or more letters, digits, dots and hyphens'
    throw new ReembedError('USAGE', `Expected s3://bucket/prefix, got '${url}'${why}`)
  }
  plainKey(prefix, `s3://${bucket}`)
  return { bucket, root: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/` }
}

/**
 * Validates the address of a store other than AWS. Messages do not repeat it: it may contain a
 * password.
 */
export function endpointOf(endpoint: string | undefined): URL | undefined {
  if (!endpoint) return undefined
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint)) {
    throw new ReembedError(
      'USAGE',
      'Expected the S3 endpoint (AWS_ENDPOINT_URL_S3) to be an http:// or https:// URL',
    )
  }
  const url = new URL(endpoint)
  if (url.username || url.password) {
    throw new ReembedError(
      'USAGE',
      'Credentials do not belong in the S3 endpoint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    )
  }
  return url
}
