// Values of every type of Parquet and Arrow, carried as text, against pyarrow's own rendering.
//
//   REEMBED_TEST_VALUES=100000 npx vitest run --project scenarios test/source/pyarrow-values.test.ts   the long form

import { execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readSlice } from '@reembed/corpus'
import { inspectObject } from '@reembed/formats'
import { openCorpus, planRun } from '@reembed/planner'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lackOfModules, PYTHON } from '../parts/needs.ts'

const ROWS = Number(process.env.REEMBED_TEST_VALUES ?? 2_000)
const SEED = Number(process.env.REEMBED_TEST_SEED ?? 1)
const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
const COLUMNS_AT_ONCE = 8
const MINUTES = 60_000

const lack = lackOfModules('pyarrow')
const expected = new Map<string, readonly (string | null)[]>()
let folder: string

describe.skipIf(lack !== undefined)(lack === undefined ? 'pyarrow' : `pyarrow (not run: ${lack})`, () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reembed-values-'))
    const script = join(dirname(fileURLToPath(import.meta.url)), 'pyarrow_values.py')
    execFileSync(PYTHON, [script, folder, String(ROWS), String(SEED)], { stdio: 'inherit' })
    for await (const line of createInterface({ input: createReadStream(join(folder, 'expected.jsonl')) })) {
      const { name, texts } = JSON.parse(line)
      expected.set(name, texts)
    }
  }, 20 * MINUTES)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test.each([
    ['values.arrow', 48],
    ['values.parquet', 41],
    ['v2.parquet', 38],
    ['int96.parquet', 1],
  ])(
    '%s: the text of each value is the one of pyarrow',
    async (file, columns) => {
      const names = await columnsOf(file)
      expect(names.length).toBe(columns)
      const differences: string[] = []
      for (let at = 0; at < names.length; at += COLUMNS_AT_ONCE) {
        differences.push(...(await compare(file, names.slice(at, at + COLUMNS_AT_ONCE))))
      }
      expect(differences).toEqual([])
    },
    30 * MINUTES,
  )
})

async function columnsOf(file: string): Promise<string[]> {
  await using store = await openStore(folder)
  const info = await store.head(file)
  if (info === undefined) throw new Error(`${file} was not written`)
  const format = file.endsWith('.arrow') ? ('arrow' as const) : ('parquet' as const)
  const { hasField } = await inspectObject(store, { ...info, format })
  return [...expected.keys()].filter(hasField)
}

/** The first differences of the columns. */
async function compare(file: string, names: readonly string[]): Promise<string[]> {
  await using corpus = await openCorpus(join(folder, file))
  const { head, slices } = await planRun(corpus, { model: MODEL, carry: names.map(name => `${name}:string`) })
  const found: string[] = []
  let row = 0
  for await (const slice of slices()) {
    const reader = readSlice(corpus.store, slice, { fields: head.recipe.fields, carry: head.layout?.carry })
    for await (const record of reader.records) {
      if (record.kind === 'reject') throw new Error(record.message)
      for (const name of names) {
        const wanted = expected.get(name)?.[row] ?? null
        const text = (record.carried?.[name] ?? null) as string | null
        if (!isSame(name, file, text, wanted) && found.length < 20)
          found.push(`${name} ${row}: ${text} is not ${wanted}`)
      }
      row += 1
    }
    expect(reader.nulled).toEqual({})
  }
  expect(row).toBe(ROWS)
  return found
}

function isSame(name: string, file: string, text: string | null, wanted: string | null): boolean {
  if (text === wanted) return true
  if (text === null || wanted === null) return false
  // The same digits with another exponent: 1e+20 and 100000000000000000000.
  if (name.startsWith('float'))
    return Number.isNaN(Number(text)) ? /nan/i.test(wanted) : String(Number(text)) === numberOf(wanted)
  // INT96 counts nanoseconds.
  return file === 'int96.parquet' && text === `${wanted}000`
}

const numberOf = (text: string): string =>
  /inf/i.test(text) ? (text.startsWith('-') ? '-Infinity' : 'Infinity') : String(Number(text))
