// Tables that delta-rs made by random appends, overwrites, deletes, updates, compactions, vacuums
// and checkpoints: the rows that are read are those of its own reader.
//
//   REEMBED_TEST_PYTHON=… npx vitest run --project extended test/source/delta-tables.test.ts

import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSlice } from '@reembed/corpus'
import { openCorpus, planRun } from '@reembed/planner'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lackOfModules, PYTHON } from '../parts/needs.ts'

const TABLES = Number(process.env.REEMBED_TEST_TABLES ?? 40)
const SEED = Number(process.env.REEMBED_TEST_SEED ?? 1)
const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
const MINUTES = 60_000

const lack = lackOfModules('deltalake', 'pyarrow')

describe.skipIf(lack !== undefined)(lack === undefined ? 'delta-rs' : `delta-rs (not run: ${lack})`, () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reembed-delta-'))
    const script = join(dirname(fileURLToPath(import.meta.url)), 'delta_tables.py')
    execFileSync(PYTHON, [script, folder, String(TABLES), String(SEED)], { stdio: 'inherit' })
  }, 10 * MINUTES)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test(
    `${TABLES} tables have the rows of its own reader, after each of their histories`,
    async () => {
      const expected = JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8'))
      expect(expected.length).toBe(TABLES)
      for (const { table, version, rows } of expected) {
        await using corpus = await openCorpus(join(folder, table))
        const { head, slices } = await planRun(corpus, { model: MODEL, carry: ['lang', 'n:int64'] })
        expect(head.table, table).toMatchObject({ version })
        const found: unknown[] = []
        for await (const slice of slices()) {
          const { fields } = head.recipe
          const reader = readSlice(corpus.store, slice, { fields, carry: head.layout?.carry })
          for await (const record of reader.records) {
            if (record.kind === 'reject') throw new Error(`${table}: ${record.message}`)
            found.push([record.id, record.text, record.carried?.lang, Number(record.carried?.n)])
          }
        }
        expect(found.map(row => JSON.stringify(row)).sort(), table).toEqual(
          rows.map((row: unknown) => JSON.stringify(row)).sort(),
        )
      }
    },
    10 * MINUTES,
  )
})
