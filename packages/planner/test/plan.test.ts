import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, realpath, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { readSlice } from '@reembed/corpus'
import type { ModelIdentity, Slice } from '@reembed/protocol'
import { openStore, type Store } from '@reembed/store'
import { type S3Server, startS3Server } from '@reembed/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Corpus, OpenCorpusOptions } from '../src/corpus.ts'
import { openCorpus } from '../src/open-corpus.ts'
import { type PlanRequest, type PlanResult, planRun } from '../src/plan.ts'

const MODEL: ModelIdentity = { id: 'm', revision: 'r', dimensions: 384, pooling: 'mean', normalized: true }
const jsonl = (...records: unknown[]): string => records.map(record => `${JSON.stringify(record)}\n`).join('')
const DOCS = jsonl({ id: 'a', text: 'one' }, { id: 'b', text: 'two' })
/** As long as DOCS, with other ids. */
const MORE = jsonl({ id: 'c', text: 'one' }, { id: 'd', text: 'two' })

/** Where a corpus can lie: what to call it, and how a file gets there. */
interface Place {
  readonly root: string
  put(key: string, content: string): Promise<void>
}

let folder: string
let server: S3Server
let places: Record<'a folder' | 'S3', Place>

beforeAll(async () => {
  server = await startS3Server({ pageSize: 3 })
  for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await server[Symbol.asyncDispose]()
})
let corpora = 0
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'reembed-plan-')))
  const prefix = `corpus-${corpora++}`
  places = {
    'a folder': {
      root: folder,
      async put(key, content) {
        await mkdir(dirname(join(folder, key)), { recursive: true })
        await writeFile(join(folder, key), content)
      },
    },
    S3: {
      root: `s3://test/${prefix}`,
      async put(key, content) {
        await using store = await openStore(`s3://test/${prefix}`, { unsafe: true })
        await store.putIfAbsent(key, Buffer.from(content))
      },
    },
  }
})
afterEach(() => rm(folder, { recursive: true }))

async function planned(
  url: string,
  request: Partial<PlanRequest> = {},
  options: OpenCorpusOptions = {},
): Promise<PlanResult & { cut: Slice[] }> {
  await using corpus = await openCorpus(url, options)
  const run = await planRun(corpus, { model: MODEL, ...request })
  return { ...run, cut: await Array.fromAsync(run.slices()) }
}

describe.each(['a folder', 'S3'] as const)('a corpus in %s', kind => {
  let place: Place
  beforeEach(() => {
    place = places[kind]
  })

  it('is planned whole: each object in key order, unknown ones counted, hidden ones left out', async () => {
    await place.put('b/two.md', '# Two')
    await place.put('a.jsonl', DOCS)
    await place.put('b/one.txt', 'one')
    await place.put('b.ndjson', MORE)
    await place.put('empty.jsonl', '')
    await place.put('picture.png', 'png')
    if (kind === 'S3') await place.put('.git/config.txt', 'hidden')

    const { head, cut, skipped, mixedInFiles, sample } = await planned(place.root)
    expect(cut.map(slice => slice.parts.map(({ key, start, end, size }) => [key, start, end, size]))).toEqual(
      [
        [
          ['a.jsonl', 0, DOCS.length, DOCS.length],
          ['b.ndjson', 0, DOCS.length, DOCS.length],
          ['b/one.txt', 0, 3, 3],
          ['b/two.md', 0, 5, 5],
        ],
      ],
    )
    expect(skipped).toEqual({ count: 1, examples: ['picture.png'] })
    expect(mixedInFiles).toEqual({ count: 2, examples: ['b/one.txt', 'b/two.md'] })
    expect(head).toMatchObject({
      format: 1,
      source: place.root,
      shards: 1,
      objects: 5,
      bytes: DOCS.length * 2 + 8,
      estimatedDocuments: 6,
      recipe: { fields: { id: 'id', text: 'text' }, prompt: '', truncate: true },
    })
    expect(sample).toMatchObject({ documents: 6, lines: 4, bytesPerRecord: DOCS.length / 2 })
  })

  it('has the measured length of a text in a nested field', async () => {
    await place.put('a.jsonl', jsonl({ id: 'a', meta: { text: 'x'.repeat(40) } }))
    const { sample } = await planned(place.root, { fields: { text: 'meta.text' } })
    expect(sample.charsPerDocument).toBe(40)
  })

  it('that Spark or Delta wrote is read without their own files, which are reported unless they are markers', async () => {
    await place.put('x/year=2026/part-0.jsonl', DOCS)
    await place.put('x/_SUCCESS', '')
    await place.put('x/_delta_log/0.checkpoint.jsonl', DOCS)
    await place.put('x/_posts/page.md', 'a page')
    const { cut, skipped } = await planned(`${place.root}/x`)
    const keys = cut.flatMap(({ parts }) => parts.map(({ key }) => key))
    expect(keys).toEqual(['_posts/page.md', 'year=2026/part-0.jsonl'])
    expect(skipped).toEqual({ count: 1, examples: ['_delta_log/0.checkpoint.jsonl'] })
    expect((await planned(`${place.root}/x/_delta_log/*.jsonl`)).head.objects).toBe(1)
    expect((await planned(`${place.root}/x/**/*.jsonl`)).head.objects).toBe(1)
  })

  it('can be read by the slices of its plan, with the store that the plan names', async () => {
    const documents = Array.from({ length: 1_000 }, (_, i) => ({ id: i, text: `text ${i} `.repeat(i % 7) }))
    await place.put('x/many.jsonl', jsonl(...documents))
    await place.put('x/note.md', 'a note')
    const { head, cut } = await planned(`${place.root}/x`, { documentsPerShard: 100 })
    expect(head.shards).toBe(cut.length)
    expect(cut.length).toBeGreaterThan(8)
    await using store: Store = await openStore(head.source)
    const ids: string[] = []
    for (const slice of cut) {
      for await (const record of readSlice(store, slice, { fields: head.recipe.fields }).records) {
        ids.push(record.kind === 'document' ? record.id : record.reason)
      }
    }
    expect(ids).toEqual([...documents.map(({ id }) => String(id)), 'note.md'])
  })

  it('may be a single object, read relative to where it lies', async () => {
    await place.put('x/one.jsonl', DOCS)
    await place.put('x/other.jsonl', DOCS)
    const { head, cut } = await planned(`${place.root}/x/one.jsonl`)
    expect(cut.flatMap(({ parts }) => parts.map(({ key }) => key))).toEqual(['one.jsonl'])
    expect(head.source.replace(/\/$/, '')).toBe(`${place.root}/x`)
  })

  it('may be a folder whose name has an extension', async () => {
    await place.put('v1.0/one.jsonl', DOCS)
    expect((await planned(`${place.root}/v1.0`)).head.objects).toBe(1)
  })

  it('of unknown extensions is refused with examples, or read as the given format', async () => {
    await place.put('x/a.docx', DOCS)
    await place.put('x/b.json', DOCS)
    await expect(planned(`${place.root}/x`)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringMatching(
        /None of the 2 objects in .*\(\.jsonl, \.ndjson, \.csv, .*\): found "a\.docx", "b\.json"\..*specify it/,
      ),
    })
    await expect(planned(`${place.root}/x/a.docx`)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining('Specify it: jsonl, csv, tsv, parquet, arrow, text, markdown'),
    })
    expect((await planned(`${place.root}/x/a.docx`, {}, { format: 'jsonl' })).head.objects).toBe(1)
  })

  it('that repeats an id within its sample is refused, in one object or in two, unless the text is empty', async () => {
    await place.put('x/a.jsonl', jsonl({ id: 'a', text: ' ' }, { id: 'a', text: 'one' }))
    expect((await planned(`${place.root}/x`)).head.objects).toBe(1)
    await place.put('x/b.jsonl', DOCS)
    await expect(planned(`${place.root}/x`)).rejects.toMatchObject({
      code: 'DUPLICATE_ID',
      message: expect.stringContaining('"a" (in "a.jsonl" and "b.jsonl")'),
      option: 'fields.id',
    })
    await place.put('y/a.jsonl', DOCS + DOCS)
    await expect(planned(`${place.root}/y`)).rejects.toMatchObject({
      code: 'DUPLICATE_ID',
      message: expect.stringContaining('"a" (twice in "a.jsonl")'),
    })
  })

  it('whose first record is longer than a sampled place is sampled without reading a record twice', async () => {
    const records = Array.from({ length: 600 }, (_, i) => ({
      id: i,
      text: 'x'.repeat(i === 0 ? 70_000 : 1_000),
    }))
    await place.put('a.jsonl', jsonl(...records))
    const { sample } = await planned(place.root)
    expect(sample.lines).toBeLessThanOrEqual(600)
  })

  it('without anything in it is SOURCE_EMPTY', async () => {
    await place.put('x/a.jsonl', '')
    await place.put('x/b.txt', '')
    await expect(planned(`${place.root}/x`)).rejects.toMatchObject({
      code: 'SOURCE_EMPTY',
      message: expect.stringContaining('only empty objects (2)'),
    })
    if (kind === 'a folder') await mkdir(join(folder, 'nothing'))
    await expect(planned(`${place.root}/nothing`)).rejects.toMatchObject({ code: 'SOURCE_EMPTY' })
  })

  it('is the same run when asked for again, and another when anything that matters differs', async () => {
    await place.put('a.jsonl', jsonl({ id: 'a', title: 'title', text: 'text' }))
    const { run } = (await planned(place.root)).head
    const others: Partial<PlanRequest>[] = [
      { prompt: 'passage: ' },
      { truncate: false },
      { fields: { text: 'title' } },
      { documentsPerShard: 17 },
      { model: { ...MODEL, revision: 's' } },
      { model: { ...MODEL, pooling: 'cls' } },
    ]
    const runs = new Set([run])
    for (const request of others) runs.add((await planned(place.root, request)).head.run)
    expect(runs.size).toBe(others.length + 1)
    expect((await planned(place.root)).head.run).toBe(run)
    expect((await planned(`${place.root}/`, { prompt: '', maxRejects: '5' })).head.run).toBe(run)
    await place.put('b.jsonl', MORE)
    expect((await planned(place.root)).head.run).not.toBe(run)
  })
})

describe('the fields', () => {
  const plannedOf = async (files: Record<string, string>, request: Partial<PlanRequest> = {}) => {
    for (const [key, content] of Object.entries(files)) await writeFile(join(folder, key), content)
    return (await planned(folder, request)).head.recipe.fields
  }

  it('are the first of the usual names that exist in every object', async () => {
    expect(await plannedOf({ 'a.jsonl': jsonl({ _id: 'x', id: 'y', content: '', text: '' }) })).toEqual({
      id: 'id',
      text: 'text',
    })
    expect(await plannedOf({ 'b.jsonl': jsonl({ _id: 'x', title: '', text: '' }) })).toEqual({
      id: '_id',
      text: 'text',
    })
  })

  it('may be named', async () => {
    const files = { 'a.jsonl': jsonl({ sha: 'x', summary: '', text: '' }) }
    expect(await plannedOf(files, { fields: { id: 'sha', text: 'summary' } })).toEqual({
      id: 'sha',
      text: 'summary',
    })
    expect(await plannedOf(files, { fields: { id: 'sha' } })).toEqual({ id: 'sha', text: 'text' })
  })

  it('are not needed for text and Markdown', async () => {
    expect(await plannedOf({ 'a.md': '# A', 'b.txt': 'b' })).toBeNull()
  })

  it('that are missing are named with the file, what it has, and the option to use', async () => {
    await expect(plannedOf({ 'a.jsonl': jsonl({ url: 'x', 'bo\u001bdy': '' }) })).rejects.toMatchObject({
      code: 'FIELD_NOT_FOUND',
      message:
        '"a.jsonl" has no id field (tried id, _id, doc_id, docid); its fields are "url", "bo\\u001bdy". Specify the id field',
    })
    await expect(plannedOf({ 'a.jsonl': DOCS }, { fields: { text: 'abstract' } })).rejects.toMatchObject({
      code: 'FIELD_NOT_FOUND',
      message:
        '"a.jsonl" has no field "abstract"; its fields are "id", "text". Check the name of the text field',
    })
  })

  it('may be carried whatever their path, but __proto__ is refused before anything is planned', async () => {
    const lines = '{"id":"a","text":"t","__proto__":"p","meta":{"__proto__":"q"}}\n'
    await writeFile(join(folder, 'a.jsonl'), lines)
    await writeFile(join(folder, 'b.csv'), 'id,text,__proto__\na,t,p\n')
    for (const name of ['a.jsonl', 'b.csv']) {
      await expect(planned(join(folder, name), { carry: ['__proto__'] })).rejects.toMatchObject({
        code: 'USAGE',
        message: "a column can't be named '__proto__': carry the field under another name",
      })
    }
    const { head, cut } = await planned(join(folder, 'a.jsonl'), { carry: ['meta.__proto__'] })
    await using store: Store = await openStore(head.source)
    const mapping = { fields: head.recipe.fields, carry: head.layout?.carry }
    const records = await Promise.all(
      cut.map(slice => Array.fromAsync(readSlice(store, slice, mapping).records)),
    )
    expect(records.flat()).toMatchObject([{ carried: { 'meta.__proto__': 'q' } }])
  })

  it('that differ between objects are refused', async () => {
    const files = { 'a.jsonl': DOCS, 'b.jsonl': jsonl({ _id: 'x', text: '' }) }
    await expect(plannedOf(files)).rejects.toMatchObject({
      code: 'FIELD_NOT_FOUND',
      message:
        'The objects do not share one id field ("a.jsonl": id; "b.jsonl": _id). Embed them in separate runs',
    })
  })

  it('of what is not JSONL at all are SOURCE_FORMAT', async () => {
    await expect(plannedOf({ 'a.jsonl': 'id,text\n1,one\n' })).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: '"a.jsonl" does not look like JSONL: the line is not valid JSON',
    })
    for (const array of ['[\n  {"id": 1},\n  {"id": 2}\n]\n', '[{"id": 1}, {"id": 2}]']) {
      await expect(plannedOf({ 'a.jsonl': array })).rejects.toMatchObject({
        code: 'SOURCE_FORMAT',
        message: expect.stringContaining('"a.jsonl" is a JSON array'),
      })
    }
    await writeFile(join(folder, 'a.jsonl'), Buffer.from('\uFEFF{"id":1}\n', 'utf16le'))
    await expect(planned(folder)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining('UTF-16'),
    })
  })
})

describe('a source', () => {
  it('that does not exist is SOURCE_NOT_FOUND', async () => {
    const path = join(folder, 'nothing')
    await expect(openCorpus(path)).rejects.toMatchObject({
      code: 'SOURCE_NOT_FOUND',
      message: `There is no file or folder '${path}': check the source`,
    })
    await writeFile(join(folder, 'file'), '')
    await expect(openCorpus(join(folder, 'file', 'x'))).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' })
  })

  it.each([
    ['', 'got an empty string'],
    ['file://host/folder', "'file://host/folder' is not the URL of a local path"],
    ['S3://bucket/corpus', "did you mean 's3://'?"],
    ['s3:bucket/corpus', "did you mean 's3://'?"],
    ['https://example.com/corpus.jsonl', "Cannot open a 'https:' URL"],
    ['s3://', "Expected s3://bucket/prefix, got 's3://'"],
    ['s3://x/y', 'the name of a bucket has 3 or more letters, digits, dots and hyphens'],
  ])('given as %j is a usage error with the reason', async (url, message) => {
    const refused = { code: 'USAGE', message: expect.stringContaining(message) }
    await expect(openCorpus(url, { output: join(folder, 'out') })).rejects.toMatchObject(refused)
  })

  it('may be given as a file:// URL or as a relative path', async () => {
    await writeFile(join(folder, 'a.jsonl'), DOCS)
    const { run } = (await planned(folder)).head
    expect((await planned(`file://${folder}`)).head.run).toBe(run)
    vi.spyOn(process, 'cwd').mockReturnValue(dirname(folder))
    expect((await planned(`./${folder.slice(dirname(folder).length + 1)}`)).head).toMatchObject({
      run,
      source: folder,
    })
    vi.restoreAllMocks()
  })

  it('and its output must lie beside each other, whatever leads there', async () => {
    const corpus = join(folder, 'corpus')
    await mkdir(join(corpus, 'deep'), { recursive: true })
    await writeFile(join(corpus, 'a.jsonl'), DOCS)
    await symlink(corpus, join(folder, 'link'))
    const refused: [string, string][] = [
      [corpus, corpus],
      [corpus, join(corpus, 'deep/vectors')],
      [corpus, join(corpus, 'not-there/yet')],
      [corpus, folder],
      [corpus, `${corpus}/deep/../out`],
      [corpus, join(folder, 'link/out')],
      [join(folder, 'link'), join(corpus, 'out')],
      [join(corpus, 'a.jsonl'), corpus],
      [`file://${corpus}`, join(corpus, 'out')],
      ['s3://bucket/corpus', 's3://bucket/corpus/vectors'],
      ['s3://bucket/corpus/', 's3://bucket/corpus'],
      ['s3://bucket/corpus/2024', 's3://bucket/corpus'],
      ['s3://bucket', 's3://bucket/vectors'],
      ['s3://bucket//corpus', 's3://bucket/corpus/vectors'],
    ]
    for (const [source, output] of refused) {
      await expect(openCorpus(source, { output }), `${source} -> ${output}`).rejects.toMatchObject({
        code: 'OUTPUT_INSIDE_SOURCE',
      })
    }
    const accepted: [string, string][] = [
      [corpus, `${corpus}-vectors`],
      [corpus, join(folder, 'vectors')],
      [join(corpus, 'a.jsonl'), join(corpus, 'vectors')],
      [corpus, 's3://bucket/corpus'],
    ]
    for (const [source, output] of accepted) {
      await using _corpus: Corpus = await openCorpus(source, { output })
    }
    await using _prefixes: Corpus = await openCorpus('s3://bucket/corpus', {
      output: 's3://bucket/corpus-vectors',
    })
  })
})

describe('a large corpus', () => {
  it('of one gzip stream reports how often its slices decompress it, of many zstd frames or gzip members nothing', async () => {
    const lines = Array.from({ length: 2_000 }, (_, i) => jsonl({ id: i, text: `text ${i}` }))
    await writeFile(join(folder, 'one.jsonl.gz'), gzipSync(lines.join('')))
    const random = lines.map((_, i) => jsonl({ id: i, text: randomBytes(100).toString('base64') }))
    const joined = Array.from({ length: 40 }, (_, i) => gzipSync(random.slice(50 * i, 50 * i + 50).join('')))
    await writeFile(join(folder, 'joined.jsonl.gz'), Buffer.concat(joined))
    await writeFile(join(folder, 'many.jsonl.zst'), Buffer.concat(lines.map(line => zstdCompressSync(line))))
    const one = await planned(join(folder, 'one.jsonl.gz'), { documentsPerShard: 100 })
    expect(one.head.shards).toBeGreaterThan(15)
    expect(one.repeatedDecompression).toMatchObject({
      key: 'one.jsonl.gz',
      compression: 'gzip',
      slices: one.head.shards,
    })
    expect(one.repeatedDecompression?.factor).toBeCloseTo((one.head.shards + 1) / 2, 0)
    const entered = await planned(join(folder, 'joined.jsonl.gz'), { documentsPerShard: 100 })
    expect(entered.repeatedDecompression).toBeUndefined()
    const starts = joined.map((_, i) => joined.slice(0, i).reduce((sum, { length }) => sum + length, 0))
    const seeks = new Set(entered.cut.flatMap(({ parts }) => parts.map(({ seek }) => seek?.objectOffset)))
    expect(seeks.size).toBeGreaterThan(2)
    for (const seek of seeks) expect(starts).toContain(seek)
    expect(
      (await planned(join(folder, 'many.jsonl.zst'), { documentsPerShard: 100 })).repeatedDecompression,
    ).toBeUndefined()
    expect(
      (await planned(join(folder, 'one.jsonl.gz'), { documentsPerShard: 1_000 })).repeatedDecompression,
    ).toBeUndefined()
  })

  it('of one file of 1 TB is planned in seconds, reading less than 0.1% of it', async () => {
    const records = Array.from({ length: 5_000 }, (_, i) => ({ id: i, text: 'x'.repeat(200) }))
    await writeFile(join(folder, 'large.jsonl'), jsonl(...records))
    await truncate(join(folder, 'large.jsonl'), 1e12)
    const started = performance.now()
    await using corpus = await openCorpus(folder)
    const { head, sample } = await planRun(corpus, { model: MODEL })
    expect(performance.now() - started).toBeLessThan(20_000)
    expect(sample.bytesRead).toBeLessThan(1e12 / 1000)
    expect(head.estimatedDocuments).toBeGreaterThan(3e9)
    // Of 64 MiB of vectors.
    expect(head.shards).toBeGreaterThan(80_000)
    expect(head.shards).toBeLessThan(120_000)
  })

  it('of more objects than are kept in memory is listed again, with the same slices', async () => {
    const objects = Array.from({ length: 150_000 }, (_, i) => ({
      key: `${String(i).padStart(6, '0')}.md`,
      size: 10,
      etag: 'e',
      format: 'markdown' as const,
    }))
    let listed = 0
    const corpus = {
      store: { url: 'test' },
      async *objects() {
        listed += 1
        yield* objects
      },
    } as unknown as Corpus
    const { head, slices } = await planRun(corpus, { model: MODEL })
    let parts = 0
    for await (const slice of slices()) parts += slice.parts.length
    expect(parts).toBe(150_000)
    expect(head).toMatchObject({ shards: Math.ceil(150_000 / 4_096), estimatedDocuments: 150_000 })
    expect(listed).toBe(3)
  })
})
