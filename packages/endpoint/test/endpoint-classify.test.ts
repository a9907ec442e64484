import { describe, expect, test } from 'vitest'
import { classify, classifyBody, classifyError, type Headers } from '../src/client/classify.ts'
import { toError } from '../src/client/outcome.ts'

const native = (error: string, error_type: string): string => JSON.stringify({ error, error_type })
const openai = (message: string, type: string, code: number): string =>
  JSON.stringify({ message, code, type })
const text = { 'content-type': 'text/plain; charset=utf-8' }
const html = { 'content-type': 'text/html' }

const batch = 'batch size 33 > maximum allowed batch size 32'
const tokens = 'Input validation error: `inputs` must have less than 512 tokens. Given: 534'
const characters = 'Input validation error: `inputs` must have less than 128000 characters. Given: 130000'

type Row = [name: string, status: number, body: string, kind: string, headers?: Headers]
const TABLE: Row[] = [
  ['TEI 1.9.3: no permits', 429, native('Model is overloaded', 'Overloaded'), 'overload'],
  ['TEI 1.9.3: batch size', 422, openai(batch, 'Validation', 422), 'batch_limit'],
  ['TEI 1.8.3: batch size', 413, native(batch, 'Validation'), 'batch_limit'],
  ['TEI 1.9.3: tokens', 422, native(tokens, 'Validation'), 'too_long'],
  ['TEI 1.8.3: tokens', 413, native(tokens, 'Validation'), 'too_long'],
  ['TEI 1.9.3: characters', 422, native(characters, 'Validation'), 'too_long'],
  ['TEI 1.8.3: unknown prompt', 413, native('prompt name `x` not found', 'Validation'), 'bad_input'],
  ['TEI: tokenizer', 422, native('tokenizer failed', 'Tokenizer'), 'bad_input'],
  ['TEI: empty', 400, native('Input validation error: `inputs` cannot be empty', 'Empty'), 'bad_input'],
  ['TEI: model or GPU', 424, native('CUDA error', 'Backend'), 'backend'],
  ['TEI: payload limit', 413, 'Failed to buffer the request body: length limit exceeded', 'too_large', text],
  [
    'TEI: lone surrogate',
    400,
    'Failed to parse the request body as JSON: lone leading surrogate',
    'bad_input',
    text,
  ],
  ['TEI: JSON of wrong shape', 422, 'Failed to deserialize the JSON body', 'bad_input', text],
  ['TEI: content type', 415, 'Expected request with `Content-Type: application/json`', 'bad_input', text],
  ['TEI: wrong API key', 401, '', 'access_denied'],
  ['TEI without OpenAI routes', 404, '', 'route_missing'],
  [
    'HF: scaled to zero',
    503,
    '{"error":"503 Service Unavailable","code":"SERVICE_UNAVAILABLE"}',
    'cold_start',
  ],
  [
    'HF: paused',
    400,
    '{"error":"Bad Request: The endpoint is paused, ask a maintainer to restart it"}',
    'paused',
  ],
  ['HF: no token', 401, '{"error":"401 Unauthorized","code":"UNAUTHORIZED"}', 'access_denied'],
  ['HF: no right', 403, '{"error":"inference.endpoints.infer.write"}', 'access_denied'],
  ['OpenAI: rate limit', 429, '{"error":{"message":"Rate limit reached","type":"tokens"}}', 'overload'],
  [
    'OpenAI: too long',
    400,
    `{"error":{"message":"This model's maximum context length is 8192"}}`,
    'too_long',
  ],
  ['vLLM: internal', 500, '{"detail":"boom"}', 'gateway'],
  ['proxy: bad gateway', 502, '<html><h1>502</h1></html>', 'gateway', html],
  ['proxy: timeout', 504, '<!DOCTYPE html>', 'gateway'],
  ['proxy: HTML with 404', 404, '<html>', 'gateway', html],
  ['Cloudflare', 520, 'origin error', 'gateway'],
  ['redirect', 302, '', 'redirect', { location: 'https://login.example/secret?token=1' }],
  ['teapot', 418, '', 'unsupported'],
]

describe('classify', () => {
  test.each(TABLE)(
    '%s: %i is classified by status and message',
    (_name, status, body, kind, headers = {}) => {
      expect(classify(status, headers, body)).toMatchObject({ kind, status })
    },
  )

  test('the limit of a batch-size refusal is read from the message, whatever the status', () => {
    expect(classify(413, {}, native(batch, 'Validation'))).toMatchObject({ limit: 32 })
    expect(classify(422, {}, openai(batch, 'Validation', 422))).toMatchObject({ limit: 32 })
  })

  test('Retry-After is read as seconds and as a date against the reply’s own clock, and capped', () => {
    expect(classify(429, { 'retry-after': '7' }, '')).toMatchObject({ afterMs: 7_000 })
    expect(classify(429, { 'retry-after': '86400' }, '')).toMatchObject({ afterMs: 120_000 })
    const date = { 'retry-after': 'Wed, 01 Jan 2025 00:00:09 GMT', date: 'Wed, 01 Jan 2025 00:00:00 GMT' }
    expect(classify(503, date, '')).toMatchObject({ afterMs: 9_000 })
    for (const strange of ['soon', '1e308', '-5', '0x10', '7, 9', 'Infinity', '', '1.5', '\u0663'])
      expect(classify(503, { 'retry-after': strange }, ''), strange).not.toHaveProperty('afterMs')
    expect(classify(503, { 'retry-after': '9'.repeat(400) }, '')).not.toHaveProperty('afterMs')
    expect(classify(503, { 'retry-after': '9'.repeat(20) }, '')).toMatchObject({ afterMs: 120_000 })
  })

  test('a message is one short line without control characters, and no page of HTML', () => {
    const { message } = classify(424, {}, native(`a\u001b[31m\n${'b'.repeat(500)}`, 'Backend'))
    expect(message).toMatch(/^HTTP 424: a \[31m b+$/)
    expect(message.length).toBeLessThan(220)
    expect(classify(502, html, '<html>secret</html>').message).toBe('HTTP 502 with an HTML page')
  })

  test('FastAPI’s echo of the text is not quoted', () => {
    const body = JSON.stringify({
      detail: [{ type: 'string_type', msg: 'Input should be a string', input: 'PRIVATE' }],
    })
    expect(classify(422, {}, body).message).toBe('HTTP 422: Input should be a string')
  })

  test('a redirect names the other origin, not its path or query', () => {
    const { message } = classify(302, { location: 'https://login.example/secret?token=1' }, '')
    expect(message).toContain('https://login.example;')
    expect(message).not.toContain('token')
  })

  test('HTML with status 200 is the proxy’s, other text a corrupt reply', () => {
    expect(classifyBody(html, '<html>')).toMatchObject({ kind: 'gateway' })
    expect(classifyBody({}, '{"object":"li')).toMatchObject({ kind: 'corrupt' })
  })

  test.each([
    ['ECONNREFUSED', 'down'],
    ['ENOTFOUND', 'down'],
    ['UND_ERR_CONNECT_TIMEOUT', 'down'],
    ['CERT_HAS_EXPIRED', 'access_denied'],
    ['UND_ERR_DESTROYED', 'unsupported'],
    ['ECONNRESET', 'reset'],
    ['UND_ERR_SOCKET', 'reset'],
    ['EPIPE', 'reset'],
    ['REPLY_TIMEOUT', 'timeout'],
    ['REPLY_TOO_LARGE', 'corrupt'],
  ])('transport error %s is %s', (code, kind) => {
    expect(classifyError(Object.assign(new Error('x'), { code }), false)).toMatchObject({ kind })
  })

  test('overload, cold starts, outages and denials that an operator can correct are requeued; permanent failures never', () => {
    const retry = (status: number, body = ''): string => toError(classify(status, {}, body), 'http://e').retry
    expect([429, 503, 502, 424].map(status => retry(status))).toEqual([
      'requeue',
      'requeue',
      'requeue',
      'requeue',
    ])
    expect([401, 403].map(status => retry(status))).toEqual(['requeue', 'requeue'])
    expect([404, 302].map(status => retry(status))).toEqual(['never', 'never'])
    expect(toError({ kind: 'wrong_model', message: 'm' }, 'http://e')).toMatchObject({
      code: 'MODEL_MISMATCH',
      retry: 'requeue',
      retryAfterMs: 30_000,
    })
  })
})
