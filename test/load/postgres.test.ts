// Loads into PostgreSQL with pgvector, on a real server.

import { lackOfPostgres, startPostgres } from '../parts/postgres.ts'
import { proveLoads } from './conformance.ts'

proveLoads(
  'PostgreSQL with pgvector',
  lackOfPostgres,
  async () => {
    const server = await startPostgres()
    const client = await server.connect()
    return {
      url: server.url,
      async rows(target) {
        const { rows } = await client.query(`SELECT *, vector_send(embedding) AS sent FROM ${target}`)
        return rows.map(({ id, sent, embedding: _, ...columns }) => ({
          id,
          vector: new Float32Array(new Uint8Array(Buffer.from(sent.subarray(4)).swap32()).buffer),
          columns,
        }))
      },
      async search(name) {
        const { rows } = await client.query(
          `SELECT id, vector_dims(embedding) AS d FROM ${name} ORDER BY embedding <#> (SELECT embedding FROM ${name} LIMIT 1) LIMIT 10`,
        )
        return rows.map(({ d }) => d)
      },
      remove: async (target, id) => {
        await client.query(`DELETE FROM ${target} WHERE id = $1`, [id])
      },
      change: async (target, id, vector) => {
        await client.query(`UPDATE ${target} SET embedding = $2 WHERE id = $1`, [id, `[${vector.join()}]`])
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
  {
    bits: true,
    refused: { text: 'a \0 b', reason: /PostgreSQL cannot store the character U\+0000 in the column text/ },
    locks: true,
  },
)
