// Rows of a collection of Milvus that any program wrote, in the order of the primary key. Rows that
// are written meanwhile may be read or not.

import type { IndexReader, IndexRow, IndexSelection } from '@reembed/evaluate'
import { ReembedError } from '@reembed/shared'
import { chooseColumns } from './index-columns.ts'
import { connectMilvus, isMissing } from './milvus-connection.ts'
import { milvusTexts } from './milvus-filter.ts'

/** Milvus returns at most 16,384 rows for a query. */
const ROWS_AT_ONCE = 1_000

export async function openMilvusIndex({ server, of }: IndexSelection): Promise<IndexReader> {
  const connection = await connectMilvus(server)
  const { ask, address } = connection
  const collection_name = of.collection ?? ''
  const close = () => connection[Symbol.asyncDispose]()
  const open = async () => {
    const { schema } = await ask(client => client.describeCollection({ collection_name }))
    const names = schema.fields.map(({ name }) => name)
    const vectors = schema.fields.filter(field => /^(Float16|BFloat16|Float)Vector$/.test(field.data_type))
    const key = schema.fields.find(field => field.is_primary_key)
    const index = `the collection '${collection_name}' at ${address}`
    const columns = chooseColumns({ names, vectors: vectors.map(({ name }) => name) }, of, index)
    return { ...columns, key: key?.name ?? 'id', isText: key?.data_type === 'VarChar' }
  }
  const { vector, text, key, isText } = await open().catch(async (error: unknown) => {
    await close()
    if (!isMissing(error)) throw error
    throw new ReembedError('USAGE', `${address} has no collection or alias '${collection_name}'`, {
      option: 'store',
    })
  })
  const output_fields = [key, vector, ...(text === undefined ? [] : [text])]
  return {
    address: `${address} collection ${collection_name}`,
    async *rows(signal) {
      let last: string | undefined
      while (true) {
        signal?.throwIfAborted()
        const begin = isText ? '""' : '-9223372036854775808'
        const filter = `${key} ${last === undefined ? `>= ${begin}` : `> ${last}`}`
        const { data } = await ask(
          client =>
            client.query({
              collection_name,
              filter,
              output_fields,
              limit: ROWS_AT_ONCE,
              consistency_level: 'Strong',
              // Asks for the rows in the order of the key.
              params: { iterator: 'True' },
            }),
          { signal },
        )
        if (data.length === 0) return
        const id = data.at(-1)?.[key]
        last = isText ? (await milvusTexts(work => ask(work, { signal }), [String(id)]))[0] : String(id)
        yield data.map((row): IndexRow => {
          const [values, written] = [row[vector], text === undefined ? undefined : row[text]]
          return {
            id: String(row[key]),
            vector: Array.isArray(values) ? Float32Array.from(values) : null,
            ...(text !== undefined && { text: typeof written === 'string' ? written : null }),
          }
        })
      }
    },
    [Symbol.asyncDispose]: close,
  }
}
