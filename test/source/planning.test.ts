// The reads of planning, counted at the store.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { openCorpus, planRun } from '@reembed/planner'
import { openStore } from '@reembed/store'
import { startFakeTei, startS3Server } from '@reembed/testing'
import { tableFromArrays, tableToIPC } from 'apache-arrow'
import { Table, WriterPropertiesBuilder, writeParquet } from 'parquet-wasm'
import { expect, it, vi } from 'vitest'
import { inProcess } from '../parts/in-process.ts'

const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }

it('planning a Parquet corpus reads only its footers', async () => {
  const rows = 20_000
  const texts = Array.from(
    { length: rows },
    (_, i) => `${i} ${'a text of some length '.repeat(20)}${i * 7919}`,
  )
  const table = tableFromArrays({ id: texts.map((_, i) => `doc-${i}`), text: texts })
  const properties = new WriterPropertiesBuilder()
    .setDictionaryEnabled(false)
    .setMaxRowGroupSize(2_000)
    .build()
  const file = writeParquet(Table.fromIPCStream(tableToIPC(table, 'stream')), properties)
  const footer = 8 + new DataView(file.buffer, file.byteOffset + file.length - 8, 4).getUint32(0, true)
  expect(file.length).toBeGreaterThan(8_000_000)

  await using server = await startS3Server({ buckets: ['corpora'] })
  for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value)
  const names = Array.from({ length: 6 }, (_, i) => `part-${i}.parquet`)
  await using store = await openStore('s3://corpora/wiki', { unsafe: true })
  for (const name of names) await store.putIfAbsent(name, file)
  const before = server.requests.length
  await using corpus = await openCorpus('s3://corpora/wiki')
  const { head, slices } = await planRun(corpus, { model: MODEL, documentsPerShard: 1_000 })
  expect((await Array.fromAsync(slices())).length).toBe(head.shards)
  vi.unstubAllEnvs()

  expect(head.estimatedDocuments).toBe(6 * rows)
  expect(head.shards).toBe(6 * 20)
  const asked = server.requests.slice(before).filter(({ operation }) => operation === 'GetObject')
  expect(new Set(asked.map(({ key }) => key)).size).toBe(names.length)
  for (const { headers } of asked) {
    const from = Number(/^bytes=(\d+)-/.exec(String(headers.range))?.[1] ?? 0)
    // The tail is read before the length of the footer is known.
    expect(file.length - from).toBeLessThan(Math.max(footer, 64 * 1024) + 64 * 1024)
  }
})

it('planning a large gzip stream prints the cost of its slices', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-planning-'))
  await using tei = await startFakeTei({ dimensions: 8 })
  const lines = Array.from({ length: 3_000 }, (_, i) => `${JSON.stringify({ id: i, text: `text ${i}` })}\n`)
  await writeFile(join(folder, 'one.jsonl.gz'), gzipSync(lines.join('')))
  const args = ['plan', '--source', folder, '--endpoint', tei.url, '--documents-per-shard', '100']
  const { code, stderr } = await inProcess(args)
  await rm(folder, { recursive: true })
  expect(code).toBe(0)
  expect(stderr).toMatch(
    /note: one\.jsonl\.gz is one gzip stream: each of its \d\d slices decompresses it from the start, which reads it 1\d times/,
  )
})

it('planning prints excluded objects, doubtful objects and texts too long for one request', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-planning-'))
  await using tei = await startFakeTei({ dimensions: 8 })
  await mkdir(join(folder, 'data'))
  await writeFile(join(folder, 'README.md'), 'a card')
  await writeFile(join(folder, 'note.md'), 'a note')
  await writeFile(join(folder, 'infos.json'), '{}')
  const text = 'word '.repeat(100_000)
  const lines = Array.from({ length: 9 }, (_, i) => `${JSON.stringify({ id: i, text })}\n`)
  await writeFile(join(folder, 'data/long.jsonl'), lines.join(''))
  const { code, stdout, stderr } = await inProcess([
    'plan',
    '--source',
    folder,
    '--endpoint',
    tei.url,
    '--json',
  ])
  await rm(folder, { recursive: true })
  expect(code).toBe(0)
  expect(stderr).toContain(
    'note: 2 objects skipped, with an unknown extension, a leading _ in the name, or a README beside data: README.md, infos.json.',
  )
  expect(stderr).toContain(
    'note: 1 text or Markdown object in a corpus that also has objects of records; each one becomes a document: note.md.',
  )
  const { preview, quote } = JSON.parse(stdout)
  expect(preview.tokens.counted).toBe(true)
  expect(Math.abs(preview.tokens.p50 - 100_000)).toBeLessThan(1_000)
  expect(quote.tokensPerSecond).toBeGreaterThan(0)
})
