// A corpus has the same documents in every format and compression, in every store, and for every
// cut.
//
//   REEMBED_TEST_DOCUMENTS=100000 npx vitest run --project scenarios test/source/formats.test.ts     the long form

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSlice } from '@reembed/corpus'
import { createAudit } from '@reembed/evaluate'
import { openCorpus, planRun } from '@reembed/planner'
import type { Document, Slice } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { type S3Server, startS3Server } from '@reembed/testing'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Written, writeFormats, writtenDocuments } from './writers.ts'

const COUNT = Number(process.env.REEMBED_TEST_DOCUMENTS ?? 1_200)
const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
const NAMES = [
  'plain.jsonl',
  'one.jsonl.gz',
  'members.jsonl.gz',
  'blocks.jsonl.gz',
  'one.jsonl.zst',
  'frames.jsonl.zst',
  'plain.csv',
  'packed.csv.gz',
  'frames.csv.zst',
  'windows.csv',
  'tabs.tsv',
  'plain.parquet',
  'snappy.parquet',
  'gzip.parquet',
  'zstd.parquet',
  'brotli.parquet',
  'lz4.parquet',
  'v2.parquet',
  'one.arrow',
  'stream.arrow',
  'batches.arrow',
]

let documents: Written[]
let folder: string
let server: S3Server

beforeAll(async () => {
  documents = writtenDocuments(COUNT)
  folder = await mkdtemp(join(tmpdir(), 'reembed-formats-'))
  server = await startS3Server({ buckets: ['corpora'] })
  for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value)
  const files = await writeFormats(documents)
  expect([...files.keys()].sort()).toEqual([...NAMES].sort())
  await using store = await openStore('s3://corpora/all', { unsafe: true })
  for (const [name, bytes] of files) {
    await writeFile(join(folder, name), bytes)
    await store.putIfAbsent(name, bytes)
  }
}, 600_000)

afterAll(async () => {
  vi.unstubAllEnvs()
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/**
 * Plans the corpus, reads every slice as a worker would, and audits the receipts against the plan
 * as finalize does.
 */
async function readAll(
  url: string,
  documentsPerShard: number,
): Promise<{ read: Document[]; shards: number }> {
  // The TSV of the writers has quotes, which must be stated.
  await using corpus = await openCorpus(url, url.endsWith('.tsv') ? { csv: { quote: '"' } } : {})
  const { head, slices } = await planRun(corpus, {
    model: MODEL,
    documentsPerShard,
    carry: ['lang:string', 'year:string'],
  })
  const plan = { ...head, seq: 1, slicesPerSegment: 16 }
  const audit = createAudit(plan)
  await using store = await openStore(plan.source)
  const read: Document[] = []
  let shard = 0
  for await (const slice of slices() as AsyncIterable<Slice>) {
    const reader = readSlice(store, slice, { fields: plan.recipe.fields, carry: plan.layout?.carry })
    let rows = 0
    for await (const record of reader.records) {
      if (record.kind === 'reject') throw new Error(`${url}: ${record.message}`)
      read.push(record)
      rows += 1
    }
    const { run, spaceId, recipeId, shards } = plan
    audit.add(
      slice,
      {
        format: 1,
        run,
        shard,
        shards,
        spaceId,
        recipeId,
        model: MODEL,
        source: reader.rangesRead,
        documents: rows,
        rows,
        rejects: [],
        tokens: null,
        truncated: 0,
        repaired: 0,
        bodySha256: '0'.repeat(64),
      },
      0,
    )
    shard += 1
  }
  audit.end()
  return { read, shards: plan.shards }
}

describe.each(NAMES)('%s', name => {
  it.each([
    ['a folder', (): string => folder],
    ['S3', (): string => 's3://corpora/all'],
  ])('in %s gives the same documents, whatever the slicing', async (_, root) => {
    const expected = documents.map(({ id, text, lang, year }) => ({
      id,
      text,
      lang: lang ?? '',
      year: String(year),
    }))
    const cuts = new Set<number>()
    for (const documentsPerShard of [Math.ceil(COUNT / 30), Math.ceil(COUNT / 7.3), COUNT * 2]) {
      const { read, shards } = await readAll(`${root()}/${name}`, documentsPerShard)
      cuts.add(shards)
      const found = read.map(({ id, text, carried }) => ({
        id,
        text,
        lang: carried?.lang ?? '',
        year: carried?.year,
      }))
      expect(found.length).toBe(COUNT)
      expect(found).toEqual(expected)
    }
    expect(cuts.size).toBeGreaterThan(1)
  })

  it('that is rewritten after planning is SOURCE_CHANGED', async () => {
    await mkdir(join(folder, 'changing'), { recursive: true })
    const path = join(folder, 'changing', name)
    const bytes = await readFile(join(folder, name))
    await writeFile(path, bytes)
    await using corpus = await openCorpus(path)
    const { head, slices } = await planRun(corpus, { model: MODEL })
    const [slice] = await Array.fromAsync(slices())
    await writeFile(path, bytes)
    await using store = await openStore(head.source)
    const { records } = readSlice(store, slice ?? { parts: [] }, { fields: head.recipe.fields })
    await expect(Array.fromAsync(records)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
  })
})
