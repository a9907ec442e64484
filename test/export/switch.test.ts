// The procedure of docs/switch.md on PostgreSQL with pgvector: a view switches searches to the next
// run, and back.

import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { exportRun } from '@reembed/export'
import { expect, test } from 'vitest'
import { memoryStore } from '../shard/parts.ts'
import { makeRun } from './run.ts'

test('a view switches pgvector from one run to the next with other dimensions, in one transaction, and back', async () => {
  await using postgres = await PGlite.create({ extensions: { vector } })
  for (const dimensions of [16, 8]) {
    const [source, target] = [memoryStore(), memoryStore()]
    const run = await makeRun(source, { dimensions })
    await exportRun(source, run.manifest, target, { layout: 'pgvector', name: `wiki_${dimensions}` })
    const text = (key: string): string => Buffer.from(target.objects.get(key) ?? []).toString()
    await postgres.exec(text('schema.sql'))
    for (const [key, bytes] of target.objects) {
      if (!key.startsWith('data/')) continue
      const blob = new Blob([bytes.slice()])
      await postgres.query(`COPY "wiki_${dimensions}" FROM '/dev/blob' WITH (FORMAT binary)`, [], { blob })
    }
    await postgres.exec(text('index.sql'))
  }
  const dimensionsOf = async (): Promise<unknown> =>
    (await postgres.query<{ d: number }>('SELECT vector_dims(embedding) AS d FROM wiki LIMIT 1')).rows[0]?.d
  const switchTo = (table: string) =>
    postgres.exec(`BEGIN; DROP VIEW wiki; CREATE VIEW wiki AS SELECT * FROM "${table}"; COMMIT;`)

  await postgres.exec('CREATE OR REPLACE VIEW wiki AS SELECT * FROM "wiki_16"')
  expect(await dimensionsOf()).toBe(16)
  await expect(postgres.exec('CREATE OR REPLACE VIEW wiki AS SELECT * FROM "wiki_8"')).rejects.toThrow(
    /cannot change data type of view column/,
  )
  await switchTo('wiki_8')
  expect(await dimensionsOf()).toBe(8)
  await postgres.exec('SET enable_seqscan = off')
  const plan = await postgres.query<{ 'QUERY PLAN': string }>(
    "EXPLAIN SELECT id FROM wiki ORDER BY embedding <#> '[1,0,0,0,0,0,0,0]' LIMIT 1",
  )
  expect(plan.rows.map(row => row['QUERY PLAN']).join('\n')).toMatch(/Index Scan using \S+ on "?wiki_8/)
  await switchTo('wiki_16')
  expect(await dimensionsOf()).toBe(16)
})
