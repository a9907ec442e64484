// A client of Qdrant's REST API for tests: of the stand-in, or of a real server, whose address is
// REEMBED_TEST_QDRANT, see test/qdrant/README.md.

import { startQdrant } from './qdrant.ts'

/** The address of a real server. */
export const qdrantUrl: string | undefined = process.env.REEMBED_TEST_QDRANT
export const lackOfQdrant: string | undefined = qdrantUrl
  ? undefined
  : 'REEMBED_TEST_QDRANT is not set; test/qdrant/README.md has how to build a server'

export const QDRANT_KEY = 'a-key'

export interface PointOf {
  readonly id: string | number
  readonly vector: readonly number[]
  readonly payload: Readonly<Record<string, unknown>>
}

/** `with_payload` and `with_vector` are always true. */
interface Page {
  readonly points: readonly PointOf[]
  readonly next_page_offset: PointOf['id'] | null
}

const POINTS_AT_ONCE = 500
const ATTEMPTS = 5

export interface TestClient extends AsyncDisposable {
  readonly url: string
  request<T>(method: string, path: string, body?: object): Promise<T>
  /** Creates a collection, in place of one of that name. */
  create(name: string, dimensions: number): Promise<void>
  put(name: string, points: readonly PointOf[]): Promise<void>
  points(name: string): AsyncGenerator<readonly PointOf[], void, undefined>
}

/** @param url of a running server; default: the stand-in */
export async function qdrantClient(url?: string): Promise<TestClient> {
  const server = url === undefined ? await startQdrant(QDRANT_KEY) : undefined
  const base = url ?? server?.url ?? ''

  async function request<T>(method: string, path: string, body?: object): Promise<T> {
    // The stand-in refuses some upserts, and closes the connection of others.
    for (let attempt = 1; ; attempt += 1) {
      const reply = await fetch(`${base}${path}`, {
        method,
        headers: { 'api-key': QDRANT_KEY, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      }).catch((error: unknown) => {
        if (attempt === ATTEMPTS) throw error
      })
      if (reply?.ok) return ((await reply.json()) as { readonly result: T }).result
      const text = await reply?.text()
      if (attempt === ATTEMPTS || (reply !== undefined && reply.status !== 429)) throw new Error(text)
    }
  }

  return {
    url: base,
    request,
    async create(name, size) {
      await request('DELETE', `/collections/${name}`)
      await request('PUT', `/collections/${name}`, { vectors: { size, distance: 'Dot' } })
    },
    async put(name, points) {
      for (let at = 0; at < points.length; at += POINTS_AT_ONCE) {
        const some = points.slice(at, at + POINTS_AT_ONCE)
        await request('PUT', `/collections/${name}/points?wait=true`, { points: some })
      }
    },
    async *points(name) {
      for (let offset: Page['next_page_offset'] | undefined; offset !== null; ) {
        const page: Page = await request('POST', `/collections/${name}/points/scroll`, {
          limit: POINTS_AT_ONCE,
          with_payload: true,
          with_vector: true,
          ...(offset !== undefined && { offset }),
        })
        yield page.points
        offset = page.next_page_offset
      }
    },
    [Symbol.asyncDispose]: async () => server?.[Symbol.asyncDispose](),
  }
}
