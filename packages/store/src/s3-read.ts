// One read of an object in S3, by the reply of the store or of the place that it redirects to.
//
// Hugging Face's gateway answers GetObject with 302 and the URL of a CDN, and does not honour
// If-Match there (hub-docs, storage-buckets-s3.md). The redirect is followed without a signature.

import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { isLinkLocal } from '@reembed/shared'
import { statusOf } from './s3-errors.ts'

export interface S3Read {
  readonly body: AsyncIterable<Uint8Array>
  /** Bytes of the body, if the reply states them. */
  readonly length: number | undefined
  readonly contentRange: string | undefined
  /** The etag of the object, if the store stated it. A CDN's own etag is not the store's. */
  readonly etag: string | undefined
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** @throws the SDK's error, or one with the status of the redirect's target */
export async function readObject(
  client: S3Client,
  command: GetObjectCommand,
  range: string,
  signal: AbortSignal | undefined,
): Promise<S3Read> {
  try {
    const reply = await client.send(command, signal ? { abortSignal: signal } : {})
    return {
      body: reply.Body as AsyncIterable<Uint8Array>,
      length: reply.ContentLength,
      contentRange: reply.ContentRange,
      etag: reply.ETag,
    }
  } catch (error) {
    const redirect = redirectOf(error)
    if (redirect === undefined) throw error
    return followRedirect(redirect, range, signal)
  }
}

interface Redirect {
  readonly url: URL
  readonly etag: string | undefined
}

/** A redirect to where the bytes are. A bucket in another region is none: it states its region. */
function redirectOf(error: unknown): Redirect | undefined {
  const { $response } = error as { readonly $response?: { readonly headers?: Record<string, string> } }
  const { location, etag, ...headers } = $response?.headers ?? {}
  if (!REDIRECTS.has(statusOf(error) ?? 0) || location === undefined) return undefined
  if (headers['x-amz-bucket-region'] !== undefined || !URL.canParse(location)) return undefined
  const url = new URL(location)
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:'
  return isHttp && !isLinkLocal(url.hostname) ? { url, etag } : undefined
}

async function followRedirect(
  { url, etag }: Redirect,
  range: string,
  signal: AbortSignal | undefined,
): Promise<S3Read> {
  const reply = await fetch(url, {
    headers: { ...(range && { range }), 'accept-encoding': 'identity' },
    ...(signal && { signal }),
  })
  if (!reply.ok || reply.body === null) {
    await reply.body?.cancel()
    throw Object.assign(new Error(`the redirect of the store answered ${reply.status}`), {
      $metadata: { httpStatusCode: reply.status },
    })
  }
  const length = reply.headers.get('content-length')
  return {
    body: Readable.fromWeb(reply.body as ReadableStream<Uint8Array>),
    length: length === null ? undefined : Number(length),
    contentRange: reply.headers.get('content-range') ?? undefined,
    etag,
  }
}
