// A stand-in of Qdrant's REST API: the routes that a load uses, with the statuses, limits and
// messages of the source of Qdrant 1.18.3 (src/actix, lib/storage/src/content_manager). Each tenth
// upsert is refused with 429, as in strict mode, and each seventh is done without a reply.

import {
  dot,
  exactNumbers,
  type StandInReply,
  type StandInRequest,
  startStandIn,
  unknownMembers,
} from './json-server.ts'
import type { HttpStandIn } from './serve-http.ts'

interface Point {
  /** An unsigned integer of 64 bits, or a UUID. */
  readonly id: string | number | bigint
  vector: readonly number[]
  readonly payload: Readonly<Record<string, unknown>>
}
interface Collection {
  readonly size: number
  readonly distance: 'Dot' | 'Cosine'
  m: number
  /** `m` of the graph that searches use; default that of the collection. */
  graph?: number
  /** Polls that are answered `yellow` while the graph is built. */
  optimizing: number
  /** Updates of the settings. The server restarts after the first: `grey` until the next one. */
  updates?: number
  readonly points: Map<Point['id'], Point>
}

export interface QdrantStandIn extends HttpStandIn {
  readonly collections: Map<string, Collection>
  /** `m` of the collection at each upsert. */
  readonly upsertedWith: number[]
  /** Called in front of each page of a scroll. */
  onScroll: (() => void) | undefined
  /** upsert_max_batchsize of strict mode for all collections, and service.max_request_size_mb. */
  readonly limits: { points: number; bytes: number }
}

/** How long new settings of the graph are not in use after the reply. */
const SETTINGS_MS = 50
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export async function startQdrant(apiKey: string): Promise<QdrantStandIn> {
  const collections = new Map<string, Collection>()
  const aliases = new Map<string, string>()
  const upsertedWith: number[] = []
  const limits = { points: Number.POSITIVE_INFINITY, bytes: 32 * 2 ** 20 }
  let upserts = 0

  const resolve = (name: string): Collection => {
    const found = collections.get(name) ?? collections.get(aliases.get(name) ?? '')
    if (found) return found
    throw new Refusal(404, `Not found: Collection \`${name}\` doesn't exist!`)
  }
  const strict = (value: unknown, known: readonly string[]): Record<string, unknown> => {
    if (typeof value !== 'object' || value === null) throw new Refusal(400, 'Format error in JSON body')
    const unknown = unknownMembers(value, known)
    if (unknown.length > 0) throw new Refusal(400, `unknown field ${unknown}`)
    return value as Record<string, unknown>
  }

  function upsert(collection: Collection, body: unknown): void {
    const { points } = strict(body, ['points']) as { points: Point[] }
    if (points.length > limits.points)
      throw new Refusal(
        400,
        `Bad request: Limit exceeded ${points.length} > ${limits.points} for "upsert limit". Help: Reduce the "upsert limit" parameter to or below ${limits.points}.`,
      )
    for (const point of points) {
      const { id, vector, payload } = strict(point, ['id', 'vector', 'payload']) as unknown as Point
      if (typeof id === 'string' ? !UUID.test(id) : id < 0)
        throw new Refusal(
          400,
          `value ${id} is not a valid point ID, valid values are either an unsigned integer or a UUID`,
        )
      if (vector.length !== collection.size)
        throw new Refusal(
          400,
          `Wrong input: Vector dimension error: expected dim: ${collection.size}, got ${vector.length}`,
        )
      const norm = collection.distance === 'Cosine' ? Math.sqrt(dot(vector, vector)) || 1 : 1
      // float32 in the store.
      collection.points.set(id, { id, payload, vector: vector.map(value => Math.fround(value / norm)) })
    }
  }

  function changeAliases(body: unknown): void {
    const { actions } = strict(body, ['actions']) as { actions: object[] }
    // One that fails does not undo those in front of it.
    for (const action of actions) {
      const known = strict(action, ['create_alias', 'delete_alias'])
      if (known.delete_alias) {
        const { alias_name } = strict(known.delete_alias, ['alias_name']) as { alias_name: string }
        aliases.delete(alias_name)
      } else {
        const { alias_name, collection_name } = strict(known.create_alias, [
          'alias_name',
          'collection_name',
        ]) as Record<string, string>
        if (!collections.has(collection_name ?? ''))
          throw new Refusal(404, `Not found: Collection \`${collection_name}\` doesn't exist!`)
        if (collections.has(alias_name ?? ''))
          throw new Refusal(409, `Wrong input: Collection \`${alias_name}\` already exists!`)
        aliases.set(alias_name ?? '', collection_name ?? '')
      }
    }
  }

  function create(name: string, body: unknown): void {
    const { vectors, hnsw_config = {} } = strict(body, ['vectors', 'hnsw_config'])
    const { size, distance } = strict(vectors, ['size', 'distance']) as unknown as Collection
    const { m = 16 } = strict(hnsw_config, ['m']) as { m?: number }
    if (!Number.isInteger(size) || size < 1 || size > 65_536)
      throw new Refusal(
        422,
        `Validation error in JSON body: [vectors.size: value ${size} invalid, must be from 1 to 65536]`,
      )
    if (distance !== 'Dot' && distance !== 'Cosine') throw new Refusal(400, `unknown variant ${distance}`)
    if (collections.has(name)) throw new Refusal(409, `Wrong input: Collection \`${name}\` already exists!`)
    if (aliases.has(name))
      throw new Refusal(
        400,
        `Wrong input: Can't create collection with name ${name}. Alias with the same name already exists`,
      )
    collections.set(name, { size, distance, m, graph: m, optimizing: 0, points: new Map() })
  }

  function describe(collection: Collection): unknown {
    if (collection.updates === 1 && collection.optimizing === 1)
      return { status: 'grey', optimizer_status: 'ok', points_count: collection.points.size }
    const status = collection.optimizing > 0 ? 'yellow' : 'green'
    collection.optimizing = Math.max(0, collection.optimizing - 1)
    if (collection.optimizing === 0 && status === 'yellow') collection.graph = collection.m
    return { status, optimizer_status: 'ok', points_count: collection.points.size }
  }

  const shown = (point: Point, withVector: unknown, withPayload: unknown): object => ({
    id: point.id,
    ...(withPayload === true && { payload: point.payload }),
    ...(Array.isArray(withPayload) && {
      payload: Object.fromEntries(withPayload.map(name => [name, point.payload[name]])),
    }),
    ...(withVector === true && { vector: exactNumbers(point.vector) }),
  })

  function route({ method, path, query, text }: StandInRequest): { result: unknown; reset?: boolean } {
    const [, root, name = '', ...rest] = path.split('/')
    const key = `${method} ${root}/${name === 'aliases' ? 'aliases' : name && ':name'}${rest.map(part => `/${part}`).join('')}`
    const unknown = unknownMembers(query, ['wait'])
    if (unknown.length > 0) throw new Refusal(400, `unknown parameter ${unknown}`)
    const body = text === '' ? undefined : JSON.parse(text, exactInteger)
    switch (key) {
      case 'GET collections/':
        return { result: { collections: Array.from(collections.keys(), name => ({ name })) } }
      case 'GET aliases/':
        return {
          result: {
            aliases: Array.from(aliases, ([alias_name, collection_name]) => ({
              alias_name,
              collection_name,
            })),
          },
        }
      case 'POST collections/aliases':
        changeAliases(body)
        return { result: true }
      case 'PUT collections/:name':
        create(name, body)
        return { result: true }
      case 'PATCH collections/:name': {
        const collection = resolve(name)
        const { m } = strict(strict(body, ['hnsw_config']).hnsw_config, ['m']) as { m: number }
        collection.m = m
        setTimeout(() => {
          collection.optimizing = 2
          collection.updates = (collection.updates ?? 0) + 1
        }, SETTINGS_MS).unref()
        return { result: true }
      }
      case 'GET collections/:name':
        return { result: describe(resolve(name)) }
      case 'DELETE collections/:name':
        for (const [alias, target] of aliases) if (target === name) aliases.delete(alias)
        return { result: collections.delete(name) }
      case 'PUT collections/:name/points': {
        const collection = resolve(name)
        upserts += 1
        if (upserts % 10 === 0)
          throw new Refusal(429, 'Rate limiting exceeded: Write rate limit exceeded, retry later')
        upsert(collection, body)
        upsertedWith.push(collection.m)
        return {
          result: { operation_id: upserts, status: query.wait === 'true' ? 'completed' : 'acknowledged' },
          reset: upserts % 7 === 0,
        }
      }
      case 'POST collections/:name/points': {
        const { ids, with_vector, with_payload } = strict(body, [
          'ids',
          'with_vector',
          'with_payload',
        ]) as Record<string, unknown>
        const { points } = resolve(name)
        return {
          result: (ids as string[]).flatMap(id => {
            const point = points.get(id)
            return point ? [shown(point, with_vector, with_payload)] : []
          }),
        }
      }
      case 'POST collections/:name/points/scroll': {
        const { limit, offset, with_payload, with_vector } = strict(body, [
          'limit',
          'offset',
          'with_payload',
          'with_vector',
        ]) as {
          limit: number
          offset?: Point['id']
          with_payload: unknown
          with_vector: unknown
        }
        if (!(limit >= 1)) throw new Refusal(422, 'limit: value 0 invalid, must be 1 or larger')
        const { points } = resolve(name)
        server.onScroll?.()
        const rest = [...points.values()]
          .toSorted((a, b) => (isBefore(a.id, b.id) ? -1 : 1))
          .filter(({ id }) => offset === undefined || !isBefore(id, offset))
        const next = rest[limit]?.id ?? null
        return {
          result: {
            points: rest.slice(0, limit).map(point => shown(point, with_vector, with_payload)),
            next_page_offset: next,
          },
        }
      }
      case 'POST collections/:name/points/count':
        strict(body, ['exact'])
        return { result: { count: resolve(name).points.size } }
      case 'POST collections/:name/points/delete': {
        const { points } = strict(body, ['points']) as { points: string[] }
        for (const id of points) resolve(name).points.delete(id)
        return { result: { status: 'completed' } }
      }
      case 'POST collections/:name/points/query': {
        const { query, limit } = strict(body, ['query', 'limit', 'with_vector']) as {
          query: number[]
          limit: number
        }
        const { size } = resolve(name)
        if (query.length !== size)
          throw new Refusal(
            400,
            `Wrong input: Vector dimension error: expected dim: ${size}, got ${query.length}`,
          )
        const scored = Array.from(resolve(name).points.values(), point => ({
          point,
          score: dot(point.vector, query),
        })).sort((a, b) => b.score - a.score)
        return { result: { points: scored.slice(0, limit).map(({ point }) => shown(point, true, false)) } }
      }
      default:
        throw new Refusal(404, `no route ${key}`)
    }
  }

  const standIn = await startStandIn((request): StandInReply => {
    try {
      if (request.headers['api-key'] !== apiKey) throw new Refusal(401, 'Invalid API key or JWT')
      if (request.bytes > limits.bytes)
        throw new Refusal(
          400,
          `JSON payload (${request.bytes} bytes) is larger than allowed (limit: ${limits.bytes} bytes).`,
        )
      const { result, reset = false } = route(request)
      return { status: 200, body: { result, status: 'ok', time: 0 }, reset }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return { status: error.status, body: { status: { error: error.message }, time: 0 } }
    }
  })
  const server: QdrantStandIn = Object.assign(standIn, {
    collections,
    upsertedWith,
    limits,
    onScroll: undefined,
  })
  return server
}

/** Integers are in front of UUIDs. */
function isBefore(a: Point['id'], b: Point['id']): boolean {
  if (typeof a === 'string') return typeof b === 'string' && a < b
  return typeof b === 'string' || a < b
}

function exactInteger(
  _: string,
  value: unknown,
  { source = '' }: { readonly source?: string } = {},
): unknown {
  return typeof value === 'number' && !Number.isSafeInteger(value) && /^\d+$/.test(source)
    ? BigInt(source)
    : value
}
