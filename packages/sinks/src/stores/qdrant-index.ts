// Points of a collection of Qdrant that any program wrote, by `points/scroll`
// (api.qdrant.tech/api-reference/points/scroll-points).

import type { IndexReader, IndexRow, IndexSelection } from '@reembed/evaluate'
import { ReembedError } from '@reembed/shared'
import { createHttpClient } from './http.ts'
import { TEXT_NAMES } from './index-columns.ts'

const POINTS_AT_ONCE = 256

interface Point {
  readonly id: string | number
  readonly vector?: readonly number[] | Readonly<Record<string, readonly number[]>> | null
  readonly payload?: Readonly<Record<string, unknown>> | null
}

export async function openQdrantIndex({ server, of }: IndexSelection): Promise<IndexReader> {
  const { QDRANT_API_KEY: key } = process.env
  const { address, request } = createHttpClient(server, key ? { 'api-key': key } : {})
  const path = `/collections/${encodeURIComponent(of.collection ?? '')}`
  const scroll = async (limit: number, offset: unknown, signal?: AbortSignal) => {
    const { body } = await request('POST', `${path}/points/scroll`, {
      json: {
        limit,
        with_payload: true,
        with_vector: of.vector === undefined ? true : [of.vector],
        ...(offset != null && { offset }),
      },
      signal,
    })
    return body.result as { readonly points: readonly Point[]; readonly next_page_offset?: unknown }
  }
  const { status } = await request('GET', path, { expect: [404] })
  if (status === 404) {
    throw new ReembedError('USAGE', `${address} has no collection '${of.collection}'`, { option: 'store' })
  }
  const [first] = (await scroll(1, undefined)).points
  const text = of.text ?? TEXT_NAMES.find(name => name in (first?.payload ?? {}))
  return {
    address: `${address} collection ${of.collection}`,
    async *rows(signal) {
      let offset: unknown
      do {
        const { points, next_page_offset: next } = await scroll(POINTS_AT_ONCE, offset, signal)
        yield points.map((point): IndexRow => rowOf(point, of.vector, text, address))
        offset = next
      } while (offset != null)
    },
    async [Symbol.asyncDispose]() {},
  }
}

function rowOf(
  { id, vector, payload }: Point,
  name: string | undefined,
  text: string | undefined,
  address: string,
): IndexRow {
  const values = Array.isArray(vector) ? vector : (vector as Record<string, number[]> | null)?.[name ?? '']
  if (values === undefined && name === undefined && vector != null && Object.keys(vector).length > 0) {
    throw new ReembedError(
      'USAGE',
      `the points at ${address} have named vectors (${Object.keys(vector).join(', ')}): add &vector=<name>`,
      { option: 'store' },
    )
  }
  const found = text === undefined ? undefined : payload?.[text]
  return {
    id: String(payload?.id ?? id),
    vector: values === undefined ? null : Float32Array.from(values),
    ...(text !== undefined && { text: typeof found === 'string' ? found : null }),
  }
}
