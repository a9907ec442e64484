// Maps a reply or a transport error to a failure. Pure. Statuses and messages are those of TEI
// 1.8.3 (validation is 413) and 1.9.3 (validation is 422), of the proxy of HF Inference Endpoints,
// and of OpenAI-compatible servers.

import { codeOf, LIMITS, messageOf, openFilesReason } from '@reembed/shared'
import type { Failure } from './outcome.ts'

export type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Bytes of an error body that are read, at most. */
export const ERROR_BODY_BYTES: number = LIMITS.endpointErrorBytes
const MESSAGE_CHARACTERS = 200
const MAX_RETRY_AFTER_MS = 120_000

const BATCH_LIMIT = /batch size \d+ > maximum allowed batch size (\d+)/
const TOO_LONG =
  /must have less than \d+ (?:tokens|characters)|maximum (?:context|input|sequence|model) length|\b(?:input|text|prompt|request)\b.{0,40}\btoo (?:long|large|many tokens)|exceeds? .{0,40}(?:context|token limit|input length)/i
const MAX_TOKENS =
  /(?:maximum (?:context|input|sequence|model) length (?:is|of)|less than|at most|limit (?:is|of)|batch size:)\s*(\d+)(?!\d| char)/i
/** llama.cpp answers 500 to a text over its limits. */
const TOO_LONG_STATUS_500 = /physical batch size|context size/

/** The failure for a reply with a status other than 200. */
export function classify(status: number, headers: Headers, body: string): Failure {
  const { message: said, type } = errorIn(body)
  const html = isHtml(headers, body)
  const message = `HTTP ${status}${html ? ' with an HTML page' : said && `: ${said}`}`
  const afterMs = retryAfterMs(headers)
  const fault = { message, status, ...(afterMs === undefined ? {} : { afterMs }) }

  if (status >= 300 && status < 400)
    return { kind: 'redirect', ...fault, message: redirected(status, headers) }
  // HF answers 400 for a paused endpoint, so this precedes all other 400s.
  if (/endpoint is paused/i.test(said)) return { kind: 'paused', ...fault }
  if (status === 401)
    return { kind: 'access_denied', ...fault, message: `${message}; set or correct the token` }
  if (status === 403)
    return { kind: 'access_denied', ...fault, message: `${message}; give the token access to the endpoint` }
  if (status === 429) return { kind: 'overload', ...fault }
  if (status === 503) return { kind: 'cold_start', ...fault }
  if (status === 500 && TOO_LONG_STATUS_500.test(said)) return tooLong(fault, said)
  if (html || status >= 500 || status === 408) {
    return status === 501 ? { kind: 'route_missing', ...fault } : { kind: 'gateway', ...fault }
  }
  if (status === 404 || status === 405) return { kind: 'route_missing', ...fault }
  if (status === 424) return { kind: 'backend', ...fault }
  if (status === 400 || status === 413 || status === 415 || status === 422) {
    const limit = Number(BATCH_LIMIT.exec(said)?.[1])
    if (limit > 0) return { kind: 'batch_limit', ...fault, limit }
    if (TOO_LONG.test(said)) return tooLong(fault, said)
    if (status === 413 && type !== 'Validation') return { kind: 'too_large', ...fault }
    return { kind: 'bad_input', ...fault }
  }
  return { kind: 'unsupported', ...fault }
}

function tooLong(fault: { message: string; status: number }, said: string): Failure {
  const limit = Number(MAX_TOKENS.exec(said)?.[1])
  return limit > 0 ? { kind: 'too_long', ...fault, limit } : { kind: 'too_long', ...fault }
}

/** The failure for a 200 whose body is not JSON: a proxy's page, or a truncated reply. */
export function classifyBody(headers: Headers, body: string): Failure {
  return isHtml(headers, body)
    ? { kind: 'gateway', status: 200, message: 'HTTP 200 with an HTML page instead of vectors' }
    : { kind: 'corrupt', status: 200, message: 'HTTP 200 with a body that is not the expected JSON' }
}

const TLS = /^(?:ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH)/
const TLS_ADVICE = 'renew the certificate, or set NODE_EXTRA_CA_CERTS to the certificate of its authority'
const DOWN = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** The failure for a transport error. `answered`: a status line was read before it. */
export function classifyError(error: unknown, answered: boolean): Failure {
  const code = codeOf(error) ?? ''
  const message = messageOf(error).slice(0, MESSAGE_CHARACTERS)
  const own = openFilesReason(error)
  if (own) return { kind: 'access_denied', message: own }
  if (code === 'REPLY_TIMEOUT') return { kind: 'timeout', message }
  if (code === 'REPLY_TOO_LARGE') return { kind: 'corrupt', message }
  if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED')
    return { kind: 'unsupported', message: 'the connection pool of this process is closed' }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return {
      kind: 'access_denied',
      message: 'the server answers without TLS: use http:// instead of https://',
    }
  // An operator must renew an expired certificate, as with a token: until then the jobs are
  // delayed, not failed.
  if (TLS.test(code)) return { kind: 'access_denied', message: `TLS failed (${code}): ${TLS_ADVICE}` }
  if (DOWN.has(code)) return { kind: 'down', message: `no connection (${code})` }
  const when = answered ? 'within the reply' : 'before the reply'
  return { kind: 'reset', message: `the connection ended ${when} (${code || message})` }
}

/** The message of an error body on one line, for each server's format, and TEI's error type. */
function errorIn(body: string): { message: string; type: string } {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    return { message: oneLine(body), type: '' }
  }
  if (!isRecord(json)) return { message: '', type: '' }
  // TEI native {error, error_type}; TEI's OpenAI routes {message, type}; OpenAI {error: {message}};
  // FastAPI {detail: string | [{msg, input}]}, of which `input` is the text itself and must not be
  // quoted.
  const { error, detail } = json
  const first: unknown = Array.isArray(detail) ? detail[0] : detail
  const message = isRecord(error) ? error.message : isRecord(first) ? first.msg : first
  const type = json.error_type ?? json.type
  return {
    message: oneLine([json.message, error, message].find(value => typeof value === 'string') ?? ''),
    type: typeof type === 'string' ? type : '',
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function oneLine(text: unknown): string {
  // Control characters would be terminal escapes in a log.
  return String(text)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, MESSAGE_CHARACTERS)
}

const isHtml = (headers: Headers, body: string): boolean =>
  /^text\/html/i.test(single(headers['content-type'])) || /^\s*<(?:!doctype|html)/i.test(body)

function redirected(status: number, headers: Headers): string {
  let to = 'another address'
  try {
    to = new URL(single(headers.location)).origin
  } catch {}
  return `HTTP ${status} redirects to ${to}; set the endpoint's URL to the final address`
}

/**
 * `Retry-After` in seconds or as a date, the latter against the reply's own `Date` so that no clock
 * is needed.
 */
function retryAfterMs(headers: Headers): number | undefined {
  const value = single(headers['retry-after'])
  if (value === '') return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.parse(single(headers.date))
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : undefined
}

const single = (value: string | string[] | undefined): string =>
  (Array.isArray(value) ? value[0] : value) ?? ''
