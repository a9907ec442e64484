// What the stand-in of Elasticsearch answers is what a real one answers: statuses and reasons of a
// 9.3.1, which is asked too where REEMBED_TEST_ELASTICSEARCH is set (see elasticsearch.test.ts).

import { describe, expect, test } from 'vitest'
import { startElasticsearch } from '../parts/elasticsearch.ts'

const real = process.env.REEMBED_TEST_ELASTICSEARCH
const index = (dims: number) => ({
  settings: { index: { refresh_interval: '-1', number_of_replicas: 0 } },
  mappings: {
    _meta: { reembed: { load: 'l' } },
    properties: {
      embedding: { type: 'dense_vector', dims, index: true, similarity: 'cosine' },
      lang: { type: 'keyword' },
    },
  },
  aliases: { answers_alias: {} },
})
const base64 = (...values: number[]): string =>
  Buffer.from(Float32Array.from(values).buffer).swap32().toString('base64')
const lines = (...parts: object[]): string => parts.map(part => `${JSON.stringify(part)}\n`).join('')
const document = (source: object, _id = 'a'): string => lines({ index: { _id } }, source)
const add = (index: string, alias: string) => ({ add: { index, alias } })
const remove = (index: string, alias: string, more = {}) => ({ remove: { index, alias, ...more } })

/** A request, and what its answer says: a status with a reason, or the same of each item. */
type Step = readonly [request: string, body: object | string | undefined, answer: RegExp]
const BULK = 'POST /answers_alias/_bulk?require_alias=true'
const STEPS: readonly Step[] = [
  ['PUT /answers', index(3), /^200/],
  ['PUT /answers', index(3), /^400 resource_already_exists_exception: index \[answers\/.+\] already exists/],
  ['PUT /answers_alias', index(3), /^400 invalid_index_name_exception: .*already exists as alias/],
  ['PUT /other', index(5_000), /^400 mapper_parsing_exception: .*in the range \[1, 4096\] but was \[5000\]/],
  [BULK, document({ embedding: base64(3, 1, 2), lang: 'de' }), /^200 index 201/],
  [BULK, document({ embedding: [3, 1, 2], lang: 'de' }), /^200 index 200/],
  [BULK, document({ embedding: [0, 0, 0] }), /^200 index 400 .*not support vectors with zero magnitude/],
  [BULK, document({ embedding: base64(Number.NaN, 1, 1) }), /^200 index 400 .*NaN values/],
  [BULK, document({ embedding: [1, 2] }), /^200 index 400 .*different number of dimensions \[2\].*\[3\]/],
  [BULK, document({ embedding: base64(1, 2) }), /^200 index 400 .*length \[8\].*of \[12\] or \[6\]/],
  [
    BULK,
    document({ embedding: [1, 2, 3], lang: 'x'.repeat(40_000) }),
    /^200 index 400 document_parsing_exception: .*field \[lang\].* \/ .*immense term in field="lang" .*32766/,
  ],
  [BULK, lines({ delete: { _id: 'missing' } }), /^200 delete 404$/],
  [
    BULK,
    document({ embedding: [1, 2, 3] }, 'i'.repeat(600)),
    /^400 action_request_validation_exception: .*no longer than 512 bytes but was: 600/,
  ],
  [BULK, document({ embedding: [1, 2, 3] }).trimEnd(), /^400 .*must be terminated by a newline/],
  [BULK, lines({ upsert: { _id: 'a' } }, {}), /^400 .*Malformed action\/metadata line \[1\].*\[upsert\]/],
  [BULK, lines({ index: { _id: 'a', no: 1 } }, {}), /^400 .*line \[1\] contains an unknown parameter \[no\]/],
  ['POST /answers/_bulk?no=1', lines({ delete: { _id: 'z' } }), /^400 .*unrecognized parameter: \[no\]/],
  // A deletion neither requires the alias nor creates the index.
  [
    'POST /answers/_bulk?require_alias=true',
    document({ embedding: [1, 2, 3] }) + lines({ delete: { _id: 'z' } }),
    /^200 index 404 index_not_found_exception: .*\[answers\] is not an alias; delete 404$/,
  ],
  [
    'POST /nothing/_bulk?require_alias=true',
    document({ embedding: [1, 2, 3] }) + lines({ delete: { _id: 'z' } }),
    /^200 index 404 index_not_found_exception: .*is not an alias; delete 404 index_not_found_exception: no such index \[nothing\]$/,
  ],
  ['GET /nothing/_mapping', undefined, /^404 index_not_found_exception: no such index \[nothing\]$/],
  ['GET /nothing/_count', undefined, /^404 index_not_found_exception/],
  ['GET /_alias/nothing', undefined, /^404 alias \[nothing\] missing$/],
  ['POST /_aliases', { actions: [] }, /^400 illegal_argument_exception: No action specified/],
  ['POST /_aliases', { actions: [remove('answers', 'x')] }, /^404 aliases_not_found_exception: .*missing/],
  ['POST /_aliases', { actions: [add('nothing', 'x')] }, /^404 index_not_found_exception/],
  ['POST /_aliases', { actions: [add('answers', 'answers')] }, /^400 invalid_alias_name_exception/],
  // A removal that finds nothing is left out beside another action, unless the alias must exist.
  ['POST /_aliases', { actions: [remove('answers', 'x'), add('answers', 'y')] }, /^200 with errors$/],
  [
    'POST /_aliases',
    { actions: [remove('answers', 'x', { must_exist: true }), add('answers', 'z')] },
    /^404 aliases_not_found_exception: aliases \[x\] missing/,
  ],
  ['GET /_alias/y', undefined, /^200/],
  ['GET /_alias/z', undefined, /^404/],
  ['DELETE /answers*', undefined, /^400 .*Wildcard expressions or all indices are not allowed/],
  ['DELETE /nothing', undefined, /^404 index_not_found_exception/],
  ['DELETE /answers', undefined, /^200/],
  ['GET /answers/_nothing', undefined, /^400 no handler found for uri \[\/answers\/_nothing\]/],
]

interface Failure {
  readonly type: string
  readonly reason: string
  readonly caused_by?: { readonly reason: string }
}
interface Answer {
  readonly error?: Failure | string
  readonly errors?: boolean
  readonly items?: readonly Record<string, { readonly status: number; readonly error?: Failure }>[]
}

const said = (error: Failure | string | undefined): string =>
  error === undefined || typeof error === 'string'
    ? (error ?? '')
    : `${error.type}: ${error.reason}${error.caused_by ? ` / ${error.caused_by.reason}` : ''}`

const ATTEMPTS = 5

async function answerTo(url: string, [request, body]: Step): Promise<string> {
  const [method = '', path = ''] = request.split(' ')
  const type = path.includes('_bulk') ? 'application/x-ndjson' : 'application/json'
  for (let attempt = 1; ; attempt += 1) {
    const reply = await fetch(url + path, {
      method,
      headers: body === undefined ? {} : { 'content-type': type },
      body: typeof body === 'string' ? body : body === undefined ? null : JSON.stringify(body),
    }).catch(() => undefined)
    // The stand-in is overloaded at times, and loses replies.
    const text = await reply?.text()
    if (reply === undefined || text === undefined || /"status":429/.test(text)) {
      if (attempt === ATTEMPTS) throw new Error(`${request} got no answer: ${text}`)
      continue
    }
    const { error, errors, items } = JSON.parse(text) as Answer
    const each = items?.flatMap(item =>
      Object.entries(item).map(([action, { status, error }]) => `${action} ${status} ${said(error)}`.trim()),
    )
    const rest = each?.join('; ') ?? (errors ? 'with errors' : said(error))
    return `${reply.status} ${rest}`.trim()
  }
}

describe.each([
  ['the stand-in', undefined],
  ['Elasticsearch', real],
])('%s', (name, url) => {
  test.skipIf(name === 'Elasticsearch' && url === undefined)(
    'answers as a real 9.3.1 does',
    async () => {
      await using server = url === undefined ? await startElasticsearch('9.3.1') : undefined
      const at = url ?? server?.url ?? ''
      await fetch(`${at}/answers`, { method: 'DELETE' })
      for (const step of STEPS) expect(await answerTo(at, step), step[0]).toMatch(step[2])
    },
    120_000,
  )
})
