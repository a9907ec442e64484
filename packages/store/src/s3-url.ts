// Parses the two addresses of a configuration: a prefix in a bucket, and a store other than AWS.

import { ReembedError } from '@reembed/shared'

/** Splits an s3:// URL. It does not decode: an escape or a query is part of the key. */
export function parseS3Url(url: string): { bucket: string; root: string } {
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]*)\/*(.*)$/s.exec(url) ?? []
  if (bucket.includes('@')) {
    throw new ReembedError(
      'USAGE',
      'Credentials do not belong in an s3:// URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    )
  }
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$/.test(bucket)) {
    throw new ReembedError('USAGE', `Expected s3://bucket/prefix, got '${url}'`)
  }
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
