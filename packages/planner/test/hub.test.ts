// A corpus on the Hugging Face Hub, against a stand-in that speaks its HTTP: revisions, paged
// trees, ranges, faults.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { readSlice } from '@reembed/corpus'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { openCorpus } from '../src/open-corpus.ts'
import { planRun } from '../src/plan.ts'

const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
const SHA = '0123456789abcdef0123456789abcdef01234567'
const lines = (from: number, to: number): string =>
  Array.from(
    { length: to - from },
    (_, i) => `${JSON.stringify({ id: from + i, text: `text ${from + i}` })}\n`,
  ).join('')
const FILES: Record<string, Buffer> = {
  'data/train/0000.jsonl': Buffer.from(lines(0, 400)),
  'data/train/ä #1.jsonl.gz': gzipSync(lines(400, 500)),
  'data/test.jsonl': Buffer.from(lines(500, 510)),
  'README.md': Buffer.from('# A dataset'),
}
const TABLE: Record<string, Buffer> = {
  'table/_delta_log/00000000000000000000.json': Buffer.from('{}'),
  'table/part=1/a.jsonl': Buffer.from(lines(0, 1)),
}
const PAGE = 2

let server: ReturnType<typeof createServer>
let fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
let asked: string[]
let files: Record<string, Buffer>

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://hub')
  asked.push(pathname)
  if (fault?.(request, response)) return
  const api = '/api/datasets/org/name'
  if (pathname.startsWith(`${api}/revision/`)) {
    const known = ['main', 'v1', SHA].includes(decodeURIComponent(pathname.slice(`${api}/revision/`.length)))
    response.writeHead(known ? 200 : 404).end(JSON.stringify(known ? { sha: SHA } : { error: 'none' }))
    return
  }
  if (pathname.startsWith(`${api}/tree/${SHA}`)) {
    const folder = decodeURIComponent(pathname.slice(`${api}/tree/${SHA}/`.length))
    const paths = Object.keys(files).filter(path => folder === '' || path.startsWith(`${folder}/`))
    if (paths.length === 0) {
      response.writeHead(404).end(JSON.stringify({ error: `${folder} does not exist on "main"` }))
      return
    }
    const from = Number(searchParams.get('cursor') ?? 0)
    const page = paths.slice(from, from + PAGE).map(path => ({
      type: 'file',
      path,
      size: files[path]?.length,
      oid: `oid-${path}`,
    }))
    const next = `<${url()}${pathname}?recursive=true&cursor=${from + PAGE}>; rel="next"`
    response.writeHead(200, from + PAGE < paths.length ? { link: next } : {}).end(JSON.stringify(page))
    return
  }
  const resolve = `/datasets/org/name/resolve/${SHA}/`
  const body = pathname.startsWith(resolve)
    ? files[decodeURIComponent(pathname.slice(resolve.length))]
    : undefined
  const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  if (!body) response.writeHead(404).end()
  else if (Number(start) >= body.length) response.writeHead(416).end()
  else response.writeHead(206).end(body.subarray(Number(start), end ? Number(end) + 1 : undefined))
}

const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

beforeAll(async () => {
  server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  vi.stubEnv('HF_ENDPOINT', url())
  vi.stubEnv('HF_TOKEN', 'secret')
})
afterAll(() => {
  vi.unstubAllEnvs()
  server.close()
  server.closeAllConnections()
})
beforeEach(() => {
  fault = undefined
  asked = []
  files = FILES
})

async function idsOf(source: string): Promise<{ source: string; ids: number[] }> {
  await using corpus = await openCorpus(source)
  const { head, slices } = await planRun(corpus, { model: MODEL, documentsPerShard: 50 })
  await using store = await openStore(head.source)
  const ids: number[] = []
  for await (const slice of slices()) {
    for await (const record of readSlice(store, slice, { fields: head.recipe.fields }).records) {
      ids.push(record.kind === 'document' ? Number(record.id) : Number.NaN)
    }
  }
  return { source: head.source, ids }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

it('a dataset is read by its commit, whatever branch was named, over all pages of its tree', async () => {
  const { source, ids } = await idsOf('hf://datasets/org/name/data')
  expect(source).toBe(`hf://datasets/org/name@${SHA}/data`)
  expect(ids).toEqual([...range(500, 510), ...range(0, 500)])
  expect(asked.every(path => path.includes(SHA) || path.includes('/revision/'))).toBe(true)
})

it('the card of a dataset is no document of it, unless it is named', async () => {
  expect((await idsOf('hf://datasets/org/name')).ids).toEqual([...range(500, 510), ...range(0, 500)])
  await using card = await openCorpus('hf://datasets/org/name/README.md')
  expect(await planRun(card, { model: MODEL })).toMatchObject({ head: { estimatedDocuments: 1 } })
})

it('a folder, a file and a glob of it can be named', async () => {
  expect((await idsOf('hf://datasets/org/name@v1/data/train')).ids).toEqual(range(0, 500))
  expect((await idsOf('hf://datasets/org/name@v1/data/test.jsonl')).ids).toEqual(range(500, 510))
  expect((await idsOf('hf://datasets/org/name/**/*.gz')).ids).toEqual(range(400, 500))
})

it('a table of Delta Lake is read by its log, and no part of it without the log', async () => {
  const log = [{ add: { path: 'day=1/old', size: 1 } }, { add: { path: 'day=1/new', size: 1 } }]
  const table: Record<string, Buffer> = {
    'table/_delta_log/00000000000000000000.json': Buffer.from(
      log.map(each => JSON.stringify(each)).join('\n'),
    ),
    'table/_delta_log/00000000000000000001.json': Buffer.from('{"remove":{"path":"day=1/old"}}'),
    'table/day=1/old': Buffer.from('x'),
    'table/day=1/new': Buffer.from('x'),
  }
  Object.assign(FILES, table)
  onTestFinished(() => {
    for (const path of Object.keys(table)) delete FILES[path]
  })
  await using corpus = await openCorpus('hf://datasets/org/name/table')
  expect((await Array.fromAsync(corpus.objects())).map(({ key }) => key)).toEqual(['day=1/new'])
  for (const part of ['table/day=1', 'table/day=1/old', 'table/**/*.parquet', 'table/day=1/*'])
    await expect(openCorpus(`hf://datasets/org/name/${part}`)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining('hf://datasets/org/name/table is a table of Delta Lake'),
    })
})

it('a read is repeated after an overload, and resumed after a broken connection', async () => {
  const seen = new Set<string>()
  fault = (request, response) => {
    const kind = request.url?.includes('/resolve/')
      ? 'file'
      : request.url?.includes('/tree/')
        ? 'tree'
        : 'revision'
    const isFirst = !seen.has(kind)
    seen.add(kind)
    if (isFirst && kind === 'file') {
      const body = FILES['data/test.jsonl'] ?? Buffer.alloc(0)
      response.writeHead(206, { 'content-length': body.length })
      response.write(body.subarray(0, 100), () => response.destroy())
      return true
    }
    if (isFirst) response.writeHead(kind === 'tree' ? 429 : 503).end()
    return isFirst
  }
  await using store = await openStore('hf://datasets/org/name')
  expect(Buffer.from(await store.get('data/test.jsonl')).toString()).toBe(lines(500, 510))
  expect(asked.filter(path => path.includes('/resolve/'))).toHaveLength(2)
  expect(await store.head('README.md')).toMatchObject({ size: 11, etag: 'oid-README.md' })
  expect(await store.head('nothing')).toBeUndefined()
})

it('a permanent error of the Hub is reported without a retry', async () => {
  fault = (_, response) => {
    response.writeHead(400).end()
    return true
  }
  await expect(openStore('hf://datasets/org/name')).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: `The Hub at ${url()} answered HTTP 400 for dataset org/name: check HF_ENDPOINT`,
  })
  expect(asked).toHaveLength(1)
})

it('a missing dataset, a closed dataset and a write are refused', async () => {
  await expect(openStore('hf://datasets/org/name@v9')).rejects.toMatchObject({
    code: 'SOURCE_NOT_FOUND',
    message: `Dataset org/name has no revision 'v9' on the Hub at ${url()}: check name and revision`,
  })
  await expect(openStore('hf://models/org/name')).rejects.toMatchObject({
    code: 'USAGE',
    message: "Expected hf://datasets/org/name@revision/path, got 'hf://models/org/name'",
  })
  await using store = await openStore('hf://datasets/org/name')
  await expect(store.putIfAbsent('x', Buffer.from('x'))).rejects.toMatchObject({ code: 'USAGE' })
  fault = (_, response) => {
    response.writeHead(401).end()
    return true
  }
  const denied = openStore('hf://datasets/org/name')
  await expect(denied).rejects.toMatchObject({
    code: 'STORE_ACCESS_DENIED',
    message: expect.stringMatching(
      /refuses access to dataset org\/name \(HTTP 401\): .*set HF_TOKEN to a token with access/,
    ),
  })
  await expect(denied).rejects.not.toThrow(/secret/)
})

it.each<[string, (response: ServerResponse) => void, RegExp]>([
  [
    'that is a page of a proxy',
    response => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>sign in</html>'),
    /^The reply of the Hub at .* for dataset org\/name is not JSON: check whether a proxy answers instead$/,
  ],
  [
    'without sizes',
    response => response.writeHead(200).end('[{"type":"file","path":"data/a.jsonl","oid":"o"}]'),
    /^the listing of dataset org\/name by the Hub at .* is invalid: \[0\]\.size is invalid$/,
  ],
  [
    'of another folder',
    response => response.writeHead(200).end('[{"type":"file","path":"else/a.jsonl","oid":"o","size":1}]'),
    /^the listing of dataset org\/name by the Hub at .* is invalid: it has 'else\/a\.jsonl'$/,
  ],
  [
    'of a file without a name',
    response => response.writeHead(200).end('[{"type":"file","path":"data/","oid":"o","size":1}]'),
    /^the listing of dataset org\/name by the Hub at .* is invalid: it has 'data\/'$/,
  ],
  [
    'with half a character',
    response => response.writeHead(200).end('[{"type":"file","path":"data/\\ud800","oid":"o","size":1}]'),
    /^the listing of dataset org\/name by the Hub at .* is invalid: it has 'data\/.'$/,
  ],
])('a listing %s is refused in one line', async (_what, reply, message) => {
  fault = ({ url }, response) => {
    if (!url?.includes('/tree/')) return false
    reply(response)
    return true
  }
  await using store = await openStore('hf://datasets/org/name/data')
  await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({
    name: 'ReembedError',
    message: expect.stringMatching(message),
  })
})

it('the token is sent to the Hub only, when a page names another host as the next one', async () => {
  const elsewhere: string[] = []
  await using other = await listen((request, response) => {
    elsewhere.push(request.url ?? '')
    response.end('[]')
  })
  fault = ({ url }, response) => {
    if (!url?.includes('/tree/') || url.includes('cursor=')) return false
    const next = `<http://127.0.0.1:${other.port}/api/datasets/org/name/tree/${SHA}/data?cursor=2>; rel="next"`
    response.writeHead(200, { link: next }).end('[]')
    return true
  }
  await using store = await openStore('hf://datasets/org/name/data')
  expect((await Array.fromAsync(store.list(''))).length).toBeGreaterThan(0)
  expect(elsewhere).toEqual([])
})

it('a listing ends when a page names itself as the next one', async () => {
  fault = ({ url = '' }, response) => {
    if (!url.includes('/tree/')) return false
    response.writeHead(200, { link: `<${url}>; rel="next"` }).end('[]')
    return true
  }
  await using store = await openStore('hf://datasets/org/name/data')
  await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({
    code: 'CORRUPT',
    message: expect.stringContaining('names itself as the next'),
  })
})

it('bytes beyond the requested range are refused', async () => {
  fault = ({ url }, response) => {
    if (!url?.includes('/resolve/')) return false
    response.writeHead(206).end('more than six bytes')
    return true
  }
  await using store = await openStore('hf://datasets/org/name/data')
  await expect(store.get('test.jsonl', { start: 0, end: 6 })).rejects.toMatchObject({
    code: 'CORRUPT',
    message: expect.stringContaining('the reply is longer than its range'),
  })
})

async function listen(handle: (request: IncomingMessage, response: ServerResponse) => void) {
  const made = createServer(handle).listen(0, '127.0.0.1')
  await once(made, 'listening')
  return {
    port: (made.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      made.close()
      made.closeAllConnections()
    },
  }
}

it.each([
  'hf://datasets/org/name/table/part=1',
  'hf://datasets/org/name/table/part=1/a.jsonl',
  'hf://datasets/org/name/table/part=1/*.jsonl',
  `hf://datasets/org/name@${SHA}/table/part=1`,
  'hf://datasets/org/name',
])('a part of a table of Delta Lake is refused, since its files may hold deleted rows: %s', async source => {
  files = { ...FILES, ...TABLE }
  await expect(idsOf(source)).rejects.toMatchObject({
    code: 'SOURCE_FORMAT',
    message: expect.stringContaining('is a table of Delta Lake'),
  })
})
