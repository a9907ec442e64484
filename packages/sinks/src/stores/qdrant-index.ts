// Points of a collection of Qdrant that any program wrote.

import { type QdrantPoint, type ScrolledCollection, scrollPoints } from '@reembed/corpus'
import type { IndexReader, IndexRow, IndexSelection } from '@reembed/evaluate'
import { createHttpClient, ReembedError } from '@reembed/shared'
import { TEXT_NAMES } from './index-columns.ts'

export async function openQdrantIndex({ server, of }: IndexSelection): Promise<IndexReader> {
  const { QDRANT_API_KEY: key } = process.env
  const client = createHttpClient(server, key ? { 'api-key': key } : {})
  const { address, request } = client
  const { collection = '', vector } = of
  const { status } = await request('GET', `/collections/${encodeURIComponent(collection)}`, { expect: [404] })
  if (status === 404) {
    throw new ReembedError('USAGE', `${address} has no collection '${collection}'`, { option: 'store' })
  }
  const scrolled: ScrolledCollection = {
    client,
    collection,
    withVector: vector === undefined ? true : [vector],
    exact: false,
  }
  const text = of.text ?? (await textOf(scrolled))
  return {
    address: `${address} collection ${collection}`,
    async *rows(signal) {
      for await (const points of scrollPoints(scrolled, { signal }))
        yield points.map(point => rowOf(point, vector, text, address))
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** The usual name of the text that the first point has. */
async function textOf(scrolled: ScrolledCollection): Promise<string | undefined> {
  for await (const [first] of scrollPoints(scrolled))
    return TEXT_NAMES.find(name => name in (first?.payload ?? {}))
  return undefined
}

function rowOf(
  { id, vector, payload }: QdrantPoint,
  name: string | undefined,
  text: string | undefined,
  address: string,
): IndexRow {
  const values = isList(vector) ? vector : vector?.[name ?? '']
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

const isList = (vector: QdrantPoint['vector']): vector is readonly number[] => Array.isArray(vector)
