// The objects of the S3 test server: buckets, listings and byte ranges.

import { createHash } from 'node:crypto'

import { compareKeys } from '@reembed/store'

export interface StoredObject {
  readonly body: Buffer
  readonly etag: string
  readonly modified: Date
  /** Headers that the server returns with the object: content type, metadata, checksums. */
  readonly headers: Readonly<Record<string, string>>
}

export interface Bucket {
  get(key: string): StoredObject | undefined
  put(key: string, body: Uint8Array, headers?: Readonly<Record<string, string>>): StoredObject
  remove(key: string): void
  /** Changes the modification time of an existing object. */
  setModified(key: string, modified: Date): void
  /** All keys, in the order of their UTF-8 bytes. */
  keys(): readonly string[]
}

/** @param clock the server's, in milliseconds */
export function createBucket(clock: () => number = Date.now): Bucket {
  const objects = new Map<string, StoredObject>()
  let sorted: string[] | undefined
  return {
    get: key => objects.get(key),
    put(key, body, headers = {}) {
      // S3 stores modification times in whole seconds.
      const modified = new Date(1000 * Math.floor(clock() / 1000))
      const stored = { body: Buffer.from(body), etag: md5(body), modified, headers }
      if (!objects.has(key)) sorted = undefined
      objects.set(key, stored)
      return stored
    },
    remove(key) {
      sorted = undefined
      objects.delete(key)
    },
    setModified(key, modified) {
      const stored = objects.get(key)
      if (stored) objects.set(key, { ...stored, modified })
    },
    keys: () => (sorted ??= [...objects.keys()].sort(compareKeys)),
  }
}

const md5 = (body: Uint8Array): string => `"${createHash('md5').update(body).digest('hex')}"`

/** Parses a Range header. Returns undefined where S3 answers 416. */
export function rangeOf(header: string, size: number): { start: number; end: number } | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? []
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1)
  return (first === '' && last === '') || start >= end ? undefined : { start, end }
}

/** The reply to ListObjectsV2. */
export function listXml(name: string, bucket: Bucket, query: URLSearchParams, pageSize: number): string {
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const token = query.get('continuation-token')
  const after = token === null ? (query.get('start-after') ?? '') : Buffer.from(token, 'base64url').toString()
  const most = Math.min(pageSize, Number(query.get('max-keys') ?? pageSize))
  const url = query.get('encoding-type') === 'url'
  const text = (value: string): string => escapeXml(url ? urlEncoded(value) : value)

  const contents: string[] = []
  const folders = new Set<string>()
  let last = ''
  let truncated = false
  for (const key of bucket.keys()) {
    if (!key.startsWith(prefix) || compareKeys(key, after) <= 0) continue
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const folder = cut < 0 ? undefined : key.slice(0, cut + delimiter.length)
    if (folder !== undefined && (folders.has(folder) || after === folder)) continue
    if (contents.length + folders.size === most) {
      truncated = true
      break
    }
    last = folder ?? key
    if (folder !== undefined) {
      folders.add(folder)
      continue
    }
    const stored = bucket.get(key)
    contents.push(
      `<Contents><Key>${text(key)}</Key><LastModified>${stored?.modified.toISOString()}</LastModified>` +
        `<ETag>${escapeXml(stored?.etag ?? '')}</ETag><Size>${stored?.body.length}</Size><StorageClass>STANDARD</StorageClass></Contents>`,
    )
  }
  return (
    `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${name}</Name><Prefix>${text(prefix)}</Prefix>` +
    `<KeyCount>${contents.length + folders.size}</KeyCount><MaxKeys>${most}</MaxKeys><IsTruncated>${truncated}</IsTruncated>` +
    (url ? '<EncodingType>url</EncodingType>' : '') +
    (truncated
      ? `<NextContinuationToken>${Buffer.from(last).toString('base64url')}</NextContinuationToken>`
      : '') +
    contents.join('') +
    [...folders].map(folder => `<CommonPrefixes><Prefix>${text(folder)}</Prefix></CommonPrefixes>`).join('') +
    '</ListBucketResult>'
  )
}

/** URL encoding as S3 does it: '/' is not encoded, a space is '+'. */
const urlEncoded = (value: string): string =>
  encodeURIComponent(value).replaceAll('%2F', '/').replaceAll('%20', '+')

export const escapeXml = (value: string): string =>
  value.replace(/[<>&"'\r\n]/g, character => `&#${character.charCodeAt(0)};`)
