// `reembed doctor --store`: an index that some program wrote, with planted faults, and a clean one.
// REEMBED_TEST_INDEX_ROWS=100000 for the size of the issue; REEMBED_TEST_OPENSEARCH and
// REEMBED_TEST_QDRANT, see load/opensearch.test.ts and load/qdrant.test.ts.

import { examineIndex, type IndexReader, type IndexRow } from '@reembed/evaluate'
import { openIndex } from '@reembed/sinks'
import { expect, onTestFinished, test, vi } from 'vitest'
import { reembed } from './parts/cli.ts'
import { startElasticsearch } from './parts/elasticsearch.ts'
import {
  type Filled,
  filledElastic,
  filledLance,
  filledMilvus,
  filledQdrant,
  lackOfFilledLance,
  lackOfFilledMilvus,
} from './parts/filled-index.ts'
import { testUnless } from './parts/needs.ts'
import { lackOfPostgres, startPostgres } from './parts/postgres.ts'
import { lackOfQdrant, QDRANT_KEY, qdrantUrl } from './parts/qdrant-client.ts'

const ROWS = Number(process.env.REEMBED_TEST_INDEX_ROWS ?? 3_000)
const DIMENSIONS = ROWS > 10_000 ? 384 : 192
const TIMEOUT_MS = 120_000 + 20 * ROWS

function createRandom(seed: number): () => number {
  let state = seed
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return (state + 0.5) / 2 ** 32
  }
  // Box and Muller: normally distributed.
  return () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next())
}

/** Vectors as a model makes them: in few directions of its own, around a mean, in topics. */
function createModel(seed: number): (row: number) => Float32Array {
  const random = createRandom(seed)
  const direction = () => Float32Array.from({ length: DIMENSIONS }, () => random() / Math.sqrt(DIMENSIONS))
  const directions = Array.from({ length: 24 }, direction)
  const mean = direction()
  const topics = Array.from({ length: 7 }, () => directions.map(() => 2 * random()))
  return row => {
    const vector = mean.map(value => 0.6 * value)
    for (const [i, one] of directions.entries()) {
      const weight = 0.3 * (random() + (topics[row % 7]?.[i] ?? 0)) * (i + 1) ** -0.5
      for (let j = 0; j < DIMENSIONS; j += 1) vector[j] = (vector[j] ?? 0) + weight * (one[j] ?? 0)
    }
    const noise = Float32Array.from({ length: DIMENSIONS }, () => (0.1 * random()) / Math.sqrt(DIMENSIONS))
    const norm = Math.hypot(...vector.map((value, j) => value + (noise[j] ?? 0)))
    return vector.map((value, j) => (value + (noise[j] ?? 0)) / norm)
  }
}

interface Planted {
  readonly other?: number
  readonly zero?: number
  readonly copies?: number
}

function makeRows({ other = 0, zero = 0, copies = 0 }: Planted): IndexRow[] {
  const [model, another] = [createModel(1), createModel(2)]
  const rows: IndexRow[] = []
  for (let row = 0; row < ROWS; row += 1) {
    const every = Math.round(ROWS / other)
    const isOther = other > 0 && row % every === every - 1
    rows.push({ id: `doc-${row}`, vector: (isOther ? another : model)(row), text: `text ${row}` })
  }
  for (let i = 0; i < copies; i += 1)
    rows[20 * i + 11] = { id: `copy-${i}`, vector: rows[20 * i + 10]?.vector ?? null, text: `copy ${i}` }
  for (let i = 0; i < zero; i += 1)
    rows[20 * i + 13] = { id: `zero-${i}`, vector: new Float32Array(DIMENSIONS), text: '' }
  return rows
}

const readerOf = (rows: readonly IndexRow[]): IndexReader => ({
  address: 'memory',
  async *rows() {
    for (let from = 0; from < rows.length; from += 1_000) yield rows.slice(from, from + 1_000)
  },
  async [Symbol.asyncDispose]() {},
})

const found = (findings: readonly { kind: string; rows: number }[]): Record<string, number> =>
  Object.fromEntries(findings.map(({ kind, rows }) => [kind, rows]))

test(
  'a clean index has no finding, and two models are found, of which one has a hundredth of the rows',
  async () => {
    const clean = await examineIndex(readerOf(makeRows({})))
    expect(clean).toMatchObject({
      rows: ROWS,
      dimensions: DIMENSIONS,
      normalized: true,
      comparesModels: true,
      findings: [],
    })
    const mixed = await examineIndex(readerOf(makeRows({ other: ROWS / 100 })))
    expect(found(mixed.findings)).toEqual({ other_model: ROWS / 100 })
    const quarter = await examineIndex(readerOf(makeRows({ other: ROWS / 4 })))
    // Rows of the second model that resemble the first by chance are not counted.
    expect(Object.keys(found(quarter.findings))).toEqual(['other_model'])
    expect(quarter.findings[0]?.rows).toBeGreaterThan(ROWS / 8)
    expect(quarter.findings[0]?.rows).toBeLessThanOrEqual(ROWS / 4)
  },
  TIMEOUT_MS,
)

test('broken vectors, missing texts and other dimensions are counted with their ids', async () => {
  const rows = makeRows({})
  rows[1] = { id: 'nan', vector: new Float32Array(DIMENSIONS).fill(Number.NaN), text: 'a' }
  rows[2] = { id: 'long', vector: (rows[2]?.vector ?? new Float32Array()).map(value => 3 * value), text: 'b' }
  rows[3] = { id: 'short', vector: new Float32Array(7).fill(1), text: 'c' }
  rows[4] = { id: 'none', vector: null, text: null }
  const { findings } = await examineIndex(readerOf(rows), {
    embed: async texts => texts.map(() => new Float32Array(DIMENSIONS).fill(1)),
  })
  expect(findings).toEqual(
    expect.arrayContaining([
      { kind: 'not_finite', rows: 1, examples: ['nan'] },
      { kind: 'not_normalized', rows: 1, examples: ['long'] },
      { kind: 'other_dimensions', rows: 1, examples: ['short'] },
      { kind: 'no_vector', rows: 1, examples: ['none'] },
      { kind: 'no_text', rows: 1, examples: ['none'] },
      expect.objectContaining({ kind: 'not_reproduced' }),
    ]),
  )
  expect(findings).toHaveLength(6)
})

test('the comparison of the sample between the passes is reported, and an abort ends it', async () => {
  const stopped = new AbortController()
  const seen: string[] = []
  const examined = examineIndex(readerOf(makeRows({})), {
    signal: stopped.signal,
    onProgress: (rows, pass) => seen.push(`${rows} in pass ${pass}`),
    onCompare(vectors) {
      seen.push(`${vectors} compared`)
      setTimeout(() => stopped.abort(new Error('stopped')))
    },
  })
  await expect(examined).rejects.toThrow('stopped')
  expect(seen.slice(-2)).toEqual([`${ROWS} in pass 1`, `${Math.min(ROWS, 2_048)} compared`])
})

testUnless(
  lackOfPostgres,
  'a table with planted faults fails the check, which names each fault, and a clean table passes',
  async () => {
    await using server = await startPostgres()
    const client = await server.connect()
    await client.query('CREATE EXTENSION vector')
    for (const [table, rows] of [
      ['clean', makeRows({})],
      ['planted', makeRows({ other: ROWS / 100, zero: 100, copies: 50 })],
    ] as const) {
      await client.query(`CREATE TABLE ${table} (doc text PRIMARY KEY, v vector(${DIMENSIONS}), body text)`)
      for (let from = 0; from < rows.length; from += 500) {
        const part = rows.slice(from, from + 500)
        await client.query(
          `INSERT INTO ${table} SELECT * FROM unnest($1::text[], $2::vector[], $3::text[])`,
          [
            part.map(({ id }) => id),
            part.map(({ vector }) => `[${vector?.join()}]`),
            part.map(({ text }) => text),
          ],
        )
      }
    }
    const doctor = (table: string) => reembed(['doctor', '--store', `${server.url}?table=${table}`])
    const clean = await doctor('clean')
    expect(clean.stdout, clean.stderr).toMatch(/ok +store .* length 1; no fault found/)
    expect(clean.code).toBe(0)
    const { stdout, code } = await doctor('planted')
    expect(stdout).toMatch(/FAIL +store/)
    expect(stdout).toContain(`100 rows with a vector of zeros`)
    expect(stdout).toContain(`50 rows with the vector of an earlier row`)
    expect(stdout).toContain(`100 rows without a text`)
    const [, other = ''] = /([\d,]+) rows with a vector of another model/.exec(stdout) ?? []
    expect(Number(other.replace(',', '')), stdout).toBeGreaterThanOrEqual(ROWS / 200)
    expect(Number(other.replace(',', '')), stdout).toBeLessThanOrEqual(ROWS / 100)
    expect(code).toBe(5)
    await expect(openIndex(`${server.url}?table=nothing`)).rejects.toThrow("has no table or view 'nothing'")
    await expect(openIndex(`${server.url}?table=clean&text=title`)).rejects.toThrow(
      "has no column 'title'; its columns are doc, v, body: add &text=<column>",
    )
  },
  TIMEOUT_MS,
)

const STORES: readonly [name: string, lack: string | undefined, open: () => Promise<Filled>][] = [
  ['Elasticsearch (stand-in)', undefined, () => filledElastic('elasticsearch')],
  ['OpenSearch (stand-in)', undefined, () => filledElastic('opensearch')],
  [
    'Elasticsearch',
    process.env.REEMBED_TEST_ELASTICSEARCH ? undefined : 'REEMBED_TEST_ELASTICSEARCH is not set',
    () => filledElastic('elasticsearch', process.env.REEMBED_TEST_ELASTICSEARCH),
  ],
  [
    'OpenSearch',
    process.env.REEMBED_TEST_OPENSEARCH ? undefined : 'REEMBED_TEST_OPENSEARCH is not set',
    () => filledElastic('opensearch', process.env.REEMBED_TEST_OPENSEARCH),
  ],
  ['Qdrant (stand-in)', undefined, () => filledQdrant()],
  ['Qdrant', lackOfQdrant, () => filledQdrant(qdrantUrl)],
  ['Milvus Lite', lackOfFilledMilvus, filledMilvus],
  ['LanceDB', lackOfFilledLance, filledLance],
]

for (const [name, lack, open] of STORES) {
  testUnless(
    lack,
    `${name}: a hundredth of another model, zero vectors and copies are found, and nothing in a clean index`,
    async () => {
      vi.stubEnv('QDRANT_API_KEY', QDRANT_KEY)
      onTestFinished(() => void vi.unstubAllEnvs())
      await using store = await open()
      const examine = async (name: string) => {
        await using reader = await openIndex(store.urlOf(name))
        return await examineIndex(reader)
      }
      await store.fill('clean', makeRows({}))
      expect(await examine('clean')).toMatchObject({ rows: ROWS, normalized: true, findings: [] })
      await store.fill('planted', makeRows({ other: ROWS / 100, zero: 100, copies: 50 }))
      const { rows, findings } = await examine('planted')
      const { other_model: other, ...rest } = found(findings)
      expect(rows).toBe(ROWS)
      expect(rest).toEqual({ zero: 100, duplicate: 50, no_text: 100 })
      expect(other).toBeGreaterThanOrEqual(ROWS / 200)
      expect(other).toBeLessThanOrEqual(ROWS / 100)
      await expect(openIndex(store.urlOf('nothing'))).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringMatching(/has no (index|collection|table)( or alias)? 'nothing'/),
      })
      // Payloads of Qdrant have no columns.
      if (name.startsWith('Qdrant')) return
      await expect(openIndex(`${store.urlOf('clean')}&text=title`)).rejects.toThrow("has no column 'title'")
    },
    TIMEOUT_MS,
  )
}

test('documents with many dimensions are asked for in pages that fit into a reply, and no point in time stays open', async () => {
  await using server = await startElasticsearch('3.5.0', 'opensearch')
  const put = (path: string, body: string, type: string, method: string) =>
    fetch(`${server.url}${path}`, { method, body, headers: { 'content-type': type } })
  const embedding = { type: 'knn_vector', dimension: 16_000, method: { name: 'hnsw' } }
  const index = { settings: { index: { knn: true } }, mappings: { properties: { embedding } } }
  await put('/wide', JSON.stringify(index), 'application/json', 'PUT')
  const vector = Array(16_000).fill(1)
  const lines = [{ index: { _id: 'a' } }, { embedding: vector }].map(line => `${JSON.stringify(line)}\n`)
  await put('/wide/_bulk', lines.join(''), 'application/x-ndjson', 'POST')
  await put('/wide/_refresh', '', 'application/json', 'POST')
  await using reader = await openIndex(`opensearch+${server.url}?index=wide`)
  const rows = (await Array.fromAsync(reader.rows())).flat()
  expect(rows.map(({ vector }) => vector?.length)).toEqual([16_000])
  expect(Math.max(...server.sizes)).toBe(65)
  expect(server.moments.size).toBe(0)
  const aborted = new AbortController()
  const reading = async () => {
    for await (const _ of reader.rows(aborted.signal)) {
      expect(server.moments.size).toBe(1)
      aborted.abort(new Error('stopped'))
    }
  }
  await expect(reading()).rejects.toThrow('stopped')
  expect(server.moments.size).toBe(0)
})
