// A stand-in of the REST API that Elasticsearch and OpenSearch share: the routes that a load uses,
// with their checks. Sources: elastic.co/docs/api/doc/elasticsearch (bulk, create index, update
// aliases, count, search), elastic.co "Dense vector field type", elastic/elasticsearch#137072
// (base64 from 9.3), docs.opensearch.org "k-NN vector", "Update aliases". A bulk request to a name
// that does not exist creates an index by dynamic mapping unless it requires an alias. Statuses and
// reasons are those of a real Elasticsearch 9.3.1, see test/load/elastic-answers.test.ts. Each
// tenth bulk is refused with 429 (es_rejected_execution_exception), as a whole or in one item, and
// each seventh is done without a reply. OpenSearch closes an index when a scroll is released, as
// 3.5 does (opensearch-project/OpenSearch#20622).

import {
  dot,
  exactNumbers,
  type StandInReply,
  type StandInRequest,
  startStandIn,
  unknownMembers,
} from './json-server.ts'
import type { HttpStandIn } from './serve-http.ts'

export interface StoredDocument {
  vector: readonly number[]
  readonly source: Readonly<Record<string, unknown>>
}
interface Index {
  meta: unknown
  readonly dims: number
  readonly similarity: string
  readonly properties: object
  readonly keywords: readonly string[]
  refresh: string | null
  readonly documents: Map<string, StoredDocument>
  /** What `_count` and `_search` see: the documents at the last refresh. */
  searchable: Map<string, StoredDocument>
  /** A scroll was released: every search fails until the next refresh. */
  isClosed?: boolean
}

export interface ElasticStandIn extends HttpStandIn {
  readonly indices: Map<string, Index>
  /** Vectors as they were sent: base64, or numbers. */
  readonly sent: Set<string>
  /** `refresh_interval` of the index at each bulk request. */
  readonly refreshedWith: Set<string | null>
  /** `size` of each search. */
  readonly sizes: number[]
  /** The points in time that are open. */
  readonly moments: ReadonlyMap<string, unknown>
}

/** http.max_content_length */
const MAX_BYTES = 100 * 2 ** 20
const MAX_ID_BYTES = 512
/** cluster.max_shards_per_node, of one node */
const MAX_SHARDS = 1_000
/** IndexWriter.MAX_TERM_LENGTH */
const MAX_TERM_BYTES = 32_766
const BASE64_FROM = 903
const EXCLUDED_FROM = 902

class Refusal extends Error {
  readonly status: number
  readonly type: string | undefined
  override readonly cause: string | undefined
  /** Without a type, the server replies with the reason alone. */
  constructor(status: number, type: string | undefined, message: string, cause?: string) {
    super(message)
    this.status = status
    this.type = type
    this.cause = cause
  }
  get error(): unknown {
    const { type, message: reason, cause } = this
    if (type === undefined) return reason
    return { type, reason, ...(cause !== undefined && { caused_by: { reason: cause } }) }
  }
}
/** A document that is refused alone. */
const refused = (cause: string, reason = `failed to parse: ${cause}`): Refusal =>
  new Refusal(400, 'document_parsing_exception', `[1:1] ${reason}`, cause)
const invalid = (message: string): Refusal => new Refusal(400, 'illegal_argument_exception', message)
const noAlias = (name: string): Refusal =>
  new Refusal(404, 'aliases_not_found_exception', `aliases [${name}] missing`)
const noIndex = (name: string): Refusal =>
  new Refusal(404, 'index_not_found_exception', `no such index [${name}]`)

export async function startElasticsearch(
  number: string,
  product: 'elasticsearch' | 'opensearch' = 'elasticsearch',
): Promise<ElasticStandIn> {
  const [major = 0, minor = 0] = number.split('.').map(Number)
  const version = product === 'opensearch' ? 0 : 100 * major + minor
  const indices = new Map<string, Index>()
  const aliases = new Map<string, Set<string>>()
  const sent = new Set<string>()
  const refreshedWith = new Set<string | null>()
  const sizes: number[] = []
  const scrolls = new Map<string, { readonly index: Index; readonly size: number; readonly hits: object[] }>()
  const moments = new Map<string, Index>()
  let bulks = 0
  let searches = 0

  const strict = (value: unknown, known: readonly string[]): Record<string, unknown> => {
    if (typeof value !== 'object' || value === null)
      throw new Refusal(400, 'parsing_exception', 'expected an object')
    const unknown = unknownMembers(value, known)
    if (unknown.length > 0) throw new Refusal(400, 'parsing_exception', `unknown field [${unknown}]`)
    return value as Record<string, unknown>
  }
  const resolve = (name: string): Index => {
    const [target = name] = aliases.get(name) ?? []
    const found = indices.get(target)
    if (found) return found
    throw noIndex(name)
  }

  function create(name: string, body: unknown): void {
    if (indices.has(name))
      throw new Refusal(400, 'resource_already_exists_exception', `index [${name}/uuid] already exists`)
    if (aliases.has(name))
      throw new Refusal(
        400,
        'invalid_index_name_exception',
        `Invalid index name [${name}], already exists as alias`,
      )
    if (indices.size >= MAX_SHARDS)
      throw new Refusal(400, 'validation_exception', `this cluster currently has [${MAX_SHARDS}] shards open`)
    if (!/^[a-z][a-z0-9_-]*$/.test(name))
      throw new Refusal(400, 'invalid_index_name_exception', `Invalid index name [${name}]`)
    const { settings, mappings, aliases: named = {} } = strict(body, ['settings', 'mappings', 'aliases'])
    const known = ['refresh_interval', 'number_of_replicas', ...(product === 'opensearch' ? ['knn'] : [])]
    const index = strict(strict(settings, ['index']).index, known)
    const { _meta: meta, properties } = strict(mappings, ['_meta', 'properties'])
    const fields = properties as Record<string, Record<string, unknown>>
    const vector = fields.embedding ?? {}
    if (product === 'opensearch') {
      strict(vector, ['type', 'dimension', 'space_type', 'method'])
      if (vector.type !== 'knn_vector' || index.knn !== true) throw invalid('no handler for type')
    } else {
      strict(vector, ['type', 'dims', 'index', 'similarity'])
      if (vector.type !== 'dense_vector') throw invalid(`No handler for type [${vector.type}]`)
    }
    const dims = Number(vector.dims ?? vector.dimension)
    const most = product === 'opensearch' ? 16_000 : 4_096
    if (!(dims >= 1 && dims <= most))
      throw new Refusal(
        400,
        'mapper_parsing_exception',
        `Failed to parse mapping: The number of dimensions should be in the range [1, ${most}] but was [${dims}]`,
      )
    const keywords = Object.entries(fields).flatMap(([field, { type }]) =>
      type === 'keyword' ? [field] : [],
    )
    indices.set(name, {
      meta,
      dims,
      similarity: String(vector.similarity ?? vector.space_type),
      properties: fields,
      keywords,
      refresh: String(index.refresh_interval ?? '1s'),
      documents: new Map(),
      searchable: new Map(),
    })
    for (const alias of Object.keys(named as object)) aliases.set(alias, new Set([name]))
  }

  /** action.auto_create_index, by default on. */
  function createByDocument(name: string): void {
    const empty = { documents: new Map(), searchable: new Map() }
    const dynamic = { meta: undefined, dims: Number.NaN, similarity: '', properties: {}, keywords: [] }
    indices.set(name, { ...dynamic, refresh: '1s', ...empty })
  }

  /** The vector of a document; a refusal is that of the document alone. */
  function parseVector(value: unknown, id: string, { dims, similarity }: Index): number[] {
    let vector = value as number[]
    if (typeof value === 'string') {
      if (version < BASE64_FROM)
        throw refused(
          'Failed to parse object: expecting token of type [VALUE_NUMBER] but found [VALUE_STRING]',
        )
      const bytes = Buffer.from(value, 'base64')
      if (!Number.isNaN(dims) && bytes.length !== 4 * dims)
        throw refused(
          `Failed to parse object: Base64 decoded vector byte length [${bytes.length}] does not match the expected length of [${4 * dims}] or [${2 * dims}] for dimension count [${dims}]`,
        )
      vector = [...new Float32Array(new Uint8Array(bytes.swap32()).buffer)]
    }
    sent.add(typeof value === 'string' ? 'base64' : 'numbers')
    if (!Number.isNaN(dims) && vector.length !== dims)
      throw refused(
        `The [dense_vector] field [embedding] in doc [document with id '${id}'] has a different number of dimensions [${vector.length}] than defined in the mapping [${dims}]`,
      )
    const bad = vector.findIndex(value => !Number.isFinite(value))
    if (bad >= 0)
      throw refused(
        `element_type [float] vectors do not support NaN values but found [${vector[bad]}] at dim [${bad}]`,
      )
    if (similarity.startsWith('cosine') && dot(vector, vector) === 0)
      throw refused('The [cosine] similarity does not support vectors with zero magnitude.')
    return vector.map(Math.fround)
  }

  function addDocument(index: Index, id: string, line: string): void {
    const { embedding, ...source } = JSON.parse(line)
    for (const field of index.keywords) {
      const value = source[field]
      if (typeof value === 'string' && Buffer.byteLength(value) > MAX_TERM_BYTES)
        throw refused(
          `Document contains at least one immense term in field="${field}" (whose UTF8 encoding is longer than the max length ${MAX_TERM_BYTES}), all of which were skipped.`,
          `failed to parse field [${field}] of type [keyword] in document with id '${id}'. Preview of field's value: '${value.slice(0, 100)}'`,
        )
    }
    index.documents.set(id, { vector: parseVector(embedding, id, index), source })
  }

  function bulk(name: string, request: StandInRequest): { body: unknown; reset: boolean } {
    const type = request.headers['content-type']
    if (!/^application\/(x-nd)?json$/.test(type ?? ''))
      throw new Refusal(406, undefined, `Content-Type header [${type}] is not supported`)
    if (!request.text.endsWith('\n')) throw invalid('The bulk request must be terminated by a newline [\\n]')
    bulks += 1
    if (bulks % 20 === 0)
      throw new Refusal(
        429,
        'es_rejected_execution_exception',
        'rejected execution of coordinating operation',
      )
    const lines = request.text.trimEnd().split('\n')
    const items: object[] = []
    /** Deletions neither require the alias nor create an index. */
    const missing = { type: 'index_not_found_exception', reason: `no such index [${name}]` }
    const required = {
      ...missing,
      reason: `${missing.reason} and [require_alias] request flag is [true] and [${name}] is not an alias`,
    }
    const isRefused = request.query.require_alias === 'true' && !aliases.has(name)
    if (!isRefused && !aliases.has(name) && !indices.has(name) && /^\{"index"/m.test(request.text))
      createByDocument(name)
    const index = aliases.has(name) || indices.has(name) ? resolve(name) : undefined
    if (index) refreshedWith.add(index.refresh)
    for (let at = 0; at < lines.length; at += 1) {
      const action = JSON.parse(lines[at] ?? '') as object
      const [operation = ''] = unknownMembers(action, ['index', 'delete'])
      if (operation)
        throw invalid(
          `Malformed action/metadata line [${at + 1}], expected field [create], [delete], [index] or [update] but found [${operation}]`,
        )
      const { index: indexed, delete: deleted } = action as Record<'index' | 'delete', { _id: string }>
      const [member] = unknownMembers(indexed ?? deleted, ['_id'])
      if (member) throw invalid(`Action/metadata line [${at + 1}] contains an unknown parameter [${member}]`)
      const { _id } = indexed ?? deleted
      if (deleted) {
        const isFound = index?.documents.delete(_id)
        const result = index ? { result: isFound ? 'deleted' : 'not_found' } : { error: missing }
        items.push({ delete: { _id, status: isFound ? 200 : 404, ...result } })
        continue
      }
      at += 1
      if (Buffer.byteLength(_id) > MAX_ID_BYTES)
        throw new Refusal(
          400,
          'action_request_validation_exception',
          `Validation Failed: 1: id [${_id}] is too long, must be no longer than 512 bytes but was: ${Buffer.byteLength(_id)};`,
        )
      if (isRefused || index === undefined) {
        items.push({ index: { _id, status: 404, error: required } })
        continue
      }
      try {
        if (bulks % 20 === 10 && at === 1)
          throw new Refusal(429, 'es_rejected_execution_exception', 'rejected execution')
        const isNew = !index.documents.has(_id)
        addDocument(index, _id, lines[at] ?? '')
        const result = isNew ? { status: 201, result: 'created' } : { status: 200, result: 'updated' }
        items.push({ index: { _id, ...result } })
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        items.push({
          index: { _id, status: error.status, error: error.error },
        })
      }
    }
    const errors = items.some(item => 'error' in (Object.values(item)[0] as object))
    return { body: { errors, items }, reset: bulks % 7 === 0 }
  }

  /**
   * All changes at once. A removal that finds nothing is left out, unless the alias must exist or
   * no action is left; Elasticsearch reports it.
   */
  function changeAliases(body: unknown): object {
    const { actions } = strict(body, ['actions']) as { actions: object[] }
    if (actions.length === 0) throw invalid('No action specified')
    const next = new Map(Array.from(aliases, ([alias, held]) => [alias, new Set(held)]))
    const missing: string[] = []
    for (const action of actions) {
      const { add, remove } = strict(action, ['add', 'remove'])
      const known = ['index', 'alias', ...(remove ? ['must_exist'] : [])]
      const { index, alias, must_exist: mustExist } = strict(add ?? remove, known)
      const [key, name] = [String(index), String(alias)]
      if (!indices.has(key)) throw noIndex(key)
      if (indices.has(name))
        throw new Refusal(
          400,
          'invalid_alias_name_exception',
          `Invalid alias name [${name}]: an index or data stream exists with the same name as the alias`,
        )
      const held = next.get(name) ?? new Set()
      if (add) held.add(key)
      else if (!held.delete(key)) {
        if (mustExist) throw noAlias(name)
        missing.push(name)
      }
      if (held.size > 0) next.set(name, held)
      else next.delete(name)
    }
    if (missing.length === actions.length) throw noAlias(String(missing))
    aliases.clear()
    for (const [alias, held] of next) aliases.set(alias, held)
    return { acknowledged: true, ...(product === 'elasticsearch' && { errors: missing.length > 0 }) }
  }

  function search(index: Index, body: unknown, isScroll: boolean): unknown {
    if (index.isClosed) throw new Refusal(503, 'search_phase_execution_exception', 'all shards failed')
    const known = ['size', 'query', '_source', 'knn', ...(isScroll ? ['sort'] : [])]
    const { size = 10, query, _source = {}, knn } = strict(body, known) as Record<string, unknown>
    sizes.push(Number(size))
    const source = strict(_source, ['includes', ...(version >= EXCLUDED_FROM ? ['exclude_vectors'] : [])])
    const showsVectors = version < EXCLUDED_FROM || source.exclude_vectors === false
    const { query_vector: wanted = [] } = (knn ?? {}) as { query_vector?: number[] }
    if (knn && wanted.length !== index.dims)
      throw invalid(
        `the query vector has a different dimension [${wanted.length}] than the index vectors [${index.dims}]`,
      )
    const hits: [string, StoredDocument][] = isScroll
      ? [...index.searchable]
      : knn
        ? [...index.searchable].sort(([, a], [, b]) => dot(b.vector, wanted) - dot(a.vector, wanted))
        : (strict(strict(query, ['ids']).ids, ['values']).values as string[]).flatMap(id => {
            const found = index.searchable.get(id)
            return found ? [[id, found] as [string, StoredDocument]] : []
          })
    const includes = (source.includes ?? []) as string[]
    const shown = hits.slice(0, isScroll ? undefined : Number(size)).map(([_id, { vector, source }]) => ({
      _id,
      _source: {
        ...(showsVectors && { embedding: exactNumbers(vector) }),
        ...Object.fromEntries(Object.entries(source).filter(([name]) => includes.includes(name))),
      },
    }))
    if (!isScroll) return { hits: { hits: shown } }
    searches += 1
    const id = `scroll-${searches}`
    scrolls.set(id, { index, size: Number(size), hits: shown })
    return nextOf(id)
  }

  /** A page at a point in time, in the order `_doc`, `_shard_doc`. */
  function searchMoment(body: unknown): unknown {
    const { size, sort, pit, search_after, _source } = strict(body, [
      'size',
      'sort',
      'pit',
      'search_after',
      '_source',
    ]) as { size: number; sort: unknown; pit: unknown; search_after?: number[]; _source: unknown }
    const { id } = strict(pit, ['id', 'keep_alive'])
    const index = moments.get(String(id))
    if (!index) throw new Refusal(404, 'search_context_missing_exception', `No search context found [${id}]`)
    if (JSON.stringify(sort) !== '[{"_doc":"asc"},{"_shard_doc":"asc"}]') throw invalid('unknown sort')
    const ids = [...index.searchable.keys()]
    const from = search_after === undefined ? 0 : Number(search_after[1]) + 1
    const query = { ids: { values: ids.slice(from, from + size) } }
    const { hits } = search(index, { size, query, _source }, false) as { hits: { hits: object[] } }
    return { hits: { hits: hits.hits.map((hit, i) => ({ ...hit, sort: [from + i, from + i] })) } }
  }

  function nextOf(id: string): unknown {
    const found = scrolls.get(id)
    if (!found) throw new Refusal(404, 'search_context_missing_exception', `No search context found [${id}]`)
    return { _scroll_id: id, hits: { hits: found.hits.splice(0, found.size) } }
  }

  function route(request: StandInRequest): { body: unknown; reset?: boolean } {
    const { method, path, text } = request
    const [, first = '', second, third] = path.split('/')
    const body = second === '_bulk' || text === '' ? undefined : JSON.parse(text)
    const unknown = unknownMembers(
      request.query,
      second === '_bulk'
        ? ['require_alias']
        : second === '_search'
          ? [third === 'point_in_time' ? 'keep_alive' : 'scroll']
          : [],
    )
    if (unknown.length > 0) throw invalid(`request [${path}] contains unrecognized parameter: [${unknown}]`)
    switch (
      `${method} ${first.startsWith('_') ? first : ':index'}${second ? `/${first === '_alias' ? ':name' : second}` : ''}${third ? '/…' : ''}`
    ) {
      case 'POST _aliases':
        return { body: changeAliases(body) }
      case 'GET _alias/:name': {
        const held = aliases.get(second ?? '')
        if (!held) throw new Refusal(404, undefined, `alias [${second}] missing`)
        return {
          body: Object.fromEntries(Array.from(held, index => [index, { aliases: { [second ?? '']: {} } }])),
        }
      }
      case 'PUT :index':
        create(first, body)
        return { body: { acknowledged: true, index: first } }
      case 'DELETE :index':
        if (first.includes('*')) throw invalid('Wildcard expressions or all indices are not allowed')
        if (!indices.delete(first)) throw noIndex(first)
        for (const [alias, held] of aliases) if (held.delete(first) && held.size === 0) aliases.delete(alias)
        return { body: { acknowledged: true } }
      case 'GET :index/_mapping': {
        const { meta, properties } = resolve(first)
        const [name = first] = aliases.get(first) ?? []
        return { body: { [name]: { mappings: { _meta: meta, properties } } } }
      }
      case 'GET :index/_alias': {
        resolve(first)
        const held = Array.from(aliases).filter(([, indexes]) => indexes.has(first))
        return { body: { [first]: { aliases: Object.fromEntries(held.map(([alias]) => [alias, {}])) } } }
      }
      case 'PUT :index/_mapping':
        resolve(first).meta = strict(body, ['_meta'])._meta
        return { body: { acknowledged: true } }
      case 'PUT :index/_settings': {
        const settings = strict(strict(body, ['index']).index, ['refresh_interval', 'number_of_replicas'])
        resolve(first).refresh = settings.refresh_interval as string | null
        return { body: { acknowledged: true } }
      }
      case 'POST :index/_refresh': {
        const index = resolve(first)
        index.searchable = new Map(index.documents)
        index.isClosed = false
        return { body: {} }
      }
      case 'GET :index/_count':
        return { body: { count: resolve(first).searchable.size } }
      case 'POST :index/_bulk':
        return bulk(first, request)
      case 'POST :index/_search':
        return { body: search(resolve(first), body, request.query.scroll !== undefined) }
      case 'POST _search/scroll':
        return { body: nextOf(String(strict(body, ['scroll', 'scroll_id']).scroll_id)) }
      case 'DELETE _search/scroll': {
        const id = String(strict(body, ['scroll_id']).scroll_id)
        const held = scrolls.get(id)
        if (held && product === 'opensearch') held.index.isClosed = true
        scrolls.delete(id)
        return { body: { succeeded: true } }
      }
      case 'POST :index/_search/…': {
        if (product !== 'opensearch' || third !== 'point_in_time') throw invalid('no handler found')
        searches += 1
        const id = `moment-${searches}`
        const index = resolve(first)
        moments.set(id, { ...index, searchable: new Map(index.searchable) })
        return { body: { pit_id: id } }
      }
      case 'POST _search':
        return { body: searchMoment(body) }
      case 'DELETE _search/point_in_time':
        for (const id of strict(body, ['pit_id']).pit_id as string[]) moments.delete(id)
        return { body: { pits: [] } }
      default:
        if (method === 'GET' && path === '/') {
          const distribution = product === 'opensearch' ? { distribution: product } : {}
          return { body: { version: { number, ...distribution } } }
        }
        throw new Refusal(400, undefined, `no handler found for uri [${path}] and method [${method}]`)
    }
  }

  const server = await startStandIn((request): StandInReply => {
    try {
      if (request.bytes > MAX_BYTES) throw new Refusal(413, 'content_too_long', 'entity too large')
      return { status: 200, ...route(request) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return {
        status: error.status,
        body: { error: error.error, status: error.status },
      }
    }
  })
  return Object.assign(server, { indices, sent, refreshedWith, sizes, moments })
}
