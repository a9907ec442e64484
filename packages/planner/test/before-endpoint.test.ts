// What is wrong with a source or with options is refused before an endpoint is resolved: a local
// endpoint takes seconds to start, and a sleeping endpoint minutes to wake.

import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EndpointResolver } from '@reembed/endpoint'
import { scoreRun, searchRun } from '@reembed/evaluate'
import { openStore } from '@reembed/store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { previewModel } from '../src/model-preview.ts'
import { openCorpus } from '../src/open-corpus.ts'
import type { PlanOptions } from '../src/options.ts'
import { planCorpus } from '../src/plan-corpus.ts'

const unresolved: EndpointResolver = async () => {
  throw new Error('the endpoint was resolved')
}

let folder: string
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'reembed-before-')))
  await mkdir(join(folder, 'docs'))
  await mkdir(join(folder, 'vectors'))
})
afterEach(() => rm(folder, { recursive: true }))

const RECORD = '{"id":"a","text":"an owl","doc_id":"b"}\n'

describe('planning refuses without an endpoint', () => {
  it.each<[string, Record<string, string>, PlanOptions, string, string | RegExp]>([
    ['an empty folder', {}, {}, 'SOURCE_EMPTY', /no objects/],
    ['files without a byte', { 'a.jsonl': '' }, {}, 'SOURCE_EMPTY', /only empty objects/],
    ['a table without rows', { 'a.csv': 'id,text\n' }, {}, 'SOURCE_EMPTY', /hold no records/],
    ['files of no known format', { 'a.exe': 'MZ' }, {}, 'SOURCE_FORMAT', /a\.exe/],
    [
      'a field that no record has',
      { 'a.jsonl': RECORD },
      { fields: { text: 'body' } },
      'FIELD_NOT_FOUND',
      /body/,
    ],
    [
      'a field of a folder of documents',
      { 'a.md': '# owls' },
      { fields: { text: 'body' } },
      'USAGE',
      /no record with a field "body": its 1 files are one document each/,
    ],
    [
      'a template for a folder of documents',
      { 'a.txt': 'owls' },
      { fields: { template: '{{ title }}' } },
      'USAGE',
      /"\{\{ title \}\}"/,
    ],
    [
      'a carried column of a folder of documents',
      { 'a.html': '<p>owls' },
      { fields: { carry: ['lang'] } },
      'USAGE',
      /"lang"/,
    ],
    [
      'two columns of one name',
      { 'a.jsonl': RECORD },
      { fields: { carry: ['content_hash=doc_id'] } },
      'USAGE',
      /content_hash/,
    ],
    ['an id that occurs twice', { 'a.jsonl': RECORD.repeat(2) }, {}, 'DUPLICATE_ID', /"?a"?/],
    [
      'a gate without queries',
      { 'a.jsonl': RECORD },
      { gates: { rules: ['recall@10 min 0.5'] } },
      'USAGE',
      /queries/,
    ],
    [
      'a tokenizer that does not exist',
      { 'a.jsonl': RECORD },
      { tokenizer: '/no/file' },
      'USAGE',
      /no\/file/,
    ],
    [
      'a maximum cost for an endpoint that has no list price',
      { 'a.jsonl': RECORD },
      { spending: { maxCost: 5, hasListPrice: false } },
      'USAGE',
      /maximum cost of \$5 needs a price/,
    ],
    ['a share that is none', { 'a.jsonl': RECORD }, { maxTruncated: 'much' }, 'USAGE', /much/],
    [
      'a base run that does not exist',
      { 'a.jsonl': RECORD },
      { reuse: { run: 'feed' } },
      'RUN_NOT_FOUND',
      /feed/,
    ],
  ])('%s', async (_, files, options, code, message) => {
    for (const [name, body] of Object.entries(files)) await writeFile(join(folder, 'docs', name), body)
    await using corpus = await openCorpus(join(folder, 'docs'))
    await using previousOutput = await openStore(join(folder, 'vectors'))
    await expect(planCorpus(corpus, unresolved, options, { previousOutput })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    })
  })

  it('refuses a maximum cost for an address without asking it for a price', async () => {
    await writeFile(join(folder, 'docs', 'a.jsonl'), RECORD)
    await using corpus = await openCorpus(join(folder, 'docs'))
    const unreachable = { url: 'http://127.0.0.1:1', options: {} }
    await expect(planCorpus(corpus, unreachable, { spending: { maxCost: 5 } })).rejects.toMatchObject({
      code: 'USAGE',
      option: 'spending.pricePerHour',
    })
  })

  it('resolves it for a source that is valid', async () => {
    await writeFile(join(folder, 'docs', 'a.jsonl'), RECORD)
    await using corpus = await openCorpus(join(folder, 'docs'))
    await expect(planCorpus(corpus, unresolved)).rejects.toThrow('the endpoint was resolved')
  })
})

it('a search, an evaluation and a preview of an output without a finished run need no endpoint', async () => {
  await using store = await openStore(join(folder, 'vectors'))
  await writeFile(join(folder, 'docs', 'a.jsonl'), RECORD)
  await using corpus = await openCorpus(join(folder, 'docs'))
  const missing = { code: 'RUN_NOT_FOUND' }
  const run = '20260101T000000Z-00000000'
  await expect(searchRun(store, unresolved, { run, query: 'owl', top: 3 })).rejects.toMatchObject(missing)
  await expect(scoreRun(store, unresolved, { run, queries: [], top: 3 })).rejects.toMatchObject(missing)
  const preview = {
    output: store,
    sample: '1%',
    top: 3,
    embedDocuments: () => Promise.reject(new Error('none')),
  }
  await expect(previewModel(corpus, unresolved, {}, preview)).rejects.toMatchObject(missing)
})
