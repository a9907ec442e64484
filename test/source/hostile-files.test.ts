// Some 150 files as writers and mistakes make them: compressions, encodings, line ends, shapes of
// CSV and JSON, encodings of Parquet, kinds of Arrow, partitions. Each is read exactly, or refused
// by its reason.
//
//   REEMBED_TEST_PYTHON=… npx vitest run --project extended test/source/hostile-files.test.ts

import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answers, lackOfModules, PYTHON } from '../parts/needs.ts'
import { type ReadOptions, read } from './read-corpus.ts'

const MINUTES = 60_000
const programs = ['zstd', 'lz4'].filter(program => !answers(program, ['--version']))
const lack =
  lackOfModules('pyarrow.parquet.encryption') ??
  (programs.length > 0 ? `no ${programs.join(', ')}` : undefined)

interface HostileFile {
  readonly name: string
  /** Id, text and carried values of each document; null where the corpus is refused. */
  readonly expect: readonly (readonly [string, string, Record<string, unknown>?])[] | null
  readonly refuse: string | null
  readonly rejects: number | null
  readonly options: ReadOptions & { readonly slice?: number }
}

/** What a corpus gives, or the message of its refusal. */
async function outcomeOf({ slice, ...options }: HostileFile['options'], folder: string) {
  try {
    const { rows } = await read(folder, { ...options, documentsPerShard: slice })
    const documents = rows.filter(row => typeof row !== 'string')
    return { documents, rejects: rows.length - documents.length }
  } catch (error) {
    return { refusal: String(error) }
  }
}

/** Integers of JSON for those of the columns. */
const plain = (value: unknown): unknown =>
  typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value

describe.skipIf(lack !== undefined)(lack === undefined ? 'pyarrow' : `pyarrow (not run: ${lack})`, () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reembed-hostile-'))
    const script = fileURLToPath(new URL('hostile_files.py', import.meta.url))
    execFileSync(PYTHON, [script, folder], { stdio: 'inherit' })
  }, 5 * MINUTES)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test(
    'each hostile file is read exactly, or refused by its reason',
    async () => {
      const cases: HostileFile[] = JSON.parse(await readFile(join(folder, 'expected.json'), 'utf8'))
      expect(cases.length).toBeGreaterThan(140)
      for (const { name, expect: wanted, refuse, rejects, options } of cases) {
        const found = await outcomeOf(options, join(folder, name))
        if (refuse !== null) expect(found.refusal, name).toMatch(new RegExp(refuse))
        else {
          const rows = (found.documents ?? []).map(([id, text, carried]) => [
            id,
            text,
            ...Object.entries(carried).map(([column, value]) => [column, plain(value)]),
          ])
          const expected = (wanted ?? []).map(([id, text, carried = {}]) => [
            id,
            text,
            ...Object.entries(carried),
          ])
          expect({ refusal: found.refusal, rejects: found.rejects }, name).toEqual({
            refusal: undefined,
            rejects: rejects ?? 0,
          })
          expect(rows.map(row => JSON.stringify(row)).sort(), name).toEqual(
            expected.map(row => JSON.stringify(row)).sort(),
          )
        }
      }
    },
    10 * MINUTES,
  )
})
