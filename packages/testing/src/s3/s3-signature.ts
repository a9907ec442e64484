// Checks requests as S3 does: the SigV4 signature, the clock skew, and the hash of the body.

import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { crc32 } from 'node:zlib'

/** An error reply. */
export class S3ErrorResponse extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string = code) {
    super(message)
    this.status = status
    this.code = code
  }
}

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

const MOST_SKEW_MS = 15 * 60_000

/**
 * @throws S3ErrorResponse unless the request is signed with these credentials within 15 min of
 * `now`
 */
export function checkSignature(request: IncomingMessage, credentials: Credentials, now: number): void {
  const { headers } = request
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)$/
  const [, accessKeyId, day = '', region = '', signed = '', signature] =
    parts.exec(headers.authorization ?? '') ?? []
  if (accessKeyId === undefined) throw new S3ErrorResponse(403, 'AccessDenied')
  if (accessKeyId !== credentials.accessKeyId) throw new S3ErrorResponse(403, 'InvalidAccessKeyId')

  const date = String(headers['x-amz-date'])
  const sent = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(now - sent) <= MOST_SKEW_MS)) throw new S3ErrorResponse(403, 'RequestTimeTooSkewed')

  const [path = '', query = ''] = (request.url ?? '').split('?', 2)
  const canonical = [
    request.method,
    path,
    // In the signed form every parameter has a '=', even if the URL has none.
    query
      .split('&')
      .filter(Boolean)
      .map(pair => (pair.includes('=') ? pair : `${pair}=`))
      .sort()
      .join('&'),
    ...signed.split(';').map(
      name =>
        `${name}:${String(headers[name] ?? '')
          .trim()
          .replace(/ +/g, ' ')}`,
    ),
    '',
    signed,
    headers['x-amz-content-sha256'],
  ].join('\n')
  const scope = `${day}/${region}/s3/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', date, scope, createHash('sha256').update(canonical).digest('hex')].join(
    '\n',
  )
  let key = Buffer.from(`AWS4${credentials.secretAccessKey}`)
  for (const part of [day, region, 's3', 'aws4_request'])
    key = createHmac('sha256', key).update(part).digest()
  if (createHmac('sha256', key).update(toSign).digest('hex') !== signature) {
    throw new S3ErrorResponse(403, 'SignatureDoesNotMatch')
  }
}

/**
 * Returns the object in a request body, decoded from aws-chunked if necessary.
 * @throws S3ErrorResponse if a checksum does not match
 */
export function checkBody(
  request: IncomingMessage,
  sent: Buffer,
): { body: Buffer; checksums: Record<string, string> } {
  const { headers } = request
  const signed = String(headers['x-amz-content-sha256'])
  const chunked = signed.startsWith('STREAMING-')
  const { body, trailers } = chunked ? unwrap(sent) : { body: sent, trailers: {} }
  if (/^[0-9a-f]{64}$/.test(signed) && digest('sha256', body).toString('hex') !== signed) {
    throw new S3ErrorResponse(400, 'XAmzContentSHA256Mismatch')
  }
  const md5 = headers['content-md5']
  if (md5 !== undefined && md5 !== digest('md5', body).toString('base64'))
    throw new S3ErrorResponse(400, 'BadDigest')

  const checksums: Record<string, string> = {}
  for (const [name, value] of Object.entries({ ...headers, ...trailers })) {
    const algorithm = /^x-amz-checksum-(?!algorithm|type|mode)(\w+)$/.exec(name)?.[1]
    if (algorithm === undefined) continue
    const compute = CHECKSUMS[algorithm]
    if (compute === undefined) throw new S3ErrorResponse(501, 'NotImplemented')
    if (compute(body).toString('base64') !== value) throw new S3ErrorResponse(400, 'BadDigest')
    checksums[name] = String(value)
  }
  return { body, checksums }
}

const digest = (algorithm: string, body: Buffer): Buffer => createHash(algorithm).update(body).digest()

const CHECKSUMS: Record<string, (body: Buffer) => Buffer> = {
  crc32(body) {
    const sum = Buffer.alloc(4)
    sum.writeUInt32BE(crc32(body))
    return sum
  },
  sha1: body => digest('sha1', body),
  sha256: body => digest('sha256', body),
}

/** aws-chunked: `<hex size>[;signature]\r\n<bytes>\r\n` until size 0, then the trailers. */
function unwrap(sent: Buffer): { body: Buffer; trailers: Record<string, string> } {
  const pieces: Buffer[] = []
  let at = 0
  while (true) {
    const line = sent.indexOf('\r\n', at)
    const size = Number.parseInt(sent.toString('latin1', at, line), 16)
    if (line < 0 || Number.isNaN(size)) throw new S3ErrorResponse(400, 'IncompleteBody')
    at = line + 2
    if (size === 0) break
    pieces.push(sent.subarray(at, at + size))
    at += size + 2
  }
  const trailers: Record<string, string> = {}
  for (const line of sent.toString('latin1', at).split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) trailers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { body: Buffer.concat(pieces), trailers }
}
