// The payloads of a collection of Qdrant as the corpus of a run, from a stand-in of its API; one
// test also from a real server, see load/qdrant.test.ts. REEMBED_TEST_TABLE=100000 for the size of
// the issue.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { openQdrantCollection } from '@reembed/corpus'
import { createHashEngine, serveTei, type TeiServer } from '@reembed/local'
import { openCorpus } from '@reembed/planner'
import { readPlan } from '@reembed/protocol'
import { readEmbeddings } from '@reembed/shard'
import { openIndex } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { flags, temporaryFolder } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'
import { rawJSON } from '../parts/json-server.ts'
import { testUnless } from '../parts/needs.ts'
import { type QdrantStandIn, startQdrant } from '../parts/qdrant.ts'
import { lackOfQdrant, type PointOf, qdrantClient, qdrantUrl } from '../parts/qdrant-client.ts'

type Id = string | number | bigint

const POINTS = Number(process.env.REEMBED_TEST_TABLE ?? 2_000)

const KEY = 's3cret-key'
const PASSWORD = 'hunter2'
let server: QdrantStandIn
let tei: TeiServer
let folder: Awaited<ReturnType<typeof temporaryFolder>>
beforeAll(async () => {
  tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
})
afterAll(() => tei[Symbol.asyncDispose]())
beforeEach(async () => {
  vi.stubEnv('QDRANT_API_KEY', KEY)
  ;[server, folder] = await Promise.all([startQdrant(KEY), temporaryFolder()])
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await Promise.all([server, folder].map(part => part[Symbol.asyncDispose]()))
})

function fill(points: Iterable<readonly [id: Id, payload: Record<string, unknown>]>): void {
  server.collections.set('docs', {
    size: 2,
    distance: 'Dot',
    m: 16,
    optimizing: 0,
    points: new Map(Array.from(points, ([id, payload]) => [id, { id, payload, vector: [1, 0] }])),
  })
}

const edit = (id: Id, payload: Record<string, unknown>): void => {
  server.collections.get('docs')?.points.set(id, { id, payload, vector: [1, 0] })
}

const urlOf = (collection = 'docs'): string => `qdrant+${server.url}?collection=${collection}`

/** Some integers, and UUIDs. */
const idOf = (i: number): Id =>
  i % 3 === 0 ? `${i.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000` : i

const numbered = (count: number): [Id, Record<string, unknown>][] =>
  Array.from({ length: count }, (_, i) => [idOf(i), { text: `document ${i}`, lang: 'en', secret: 'never' }])

const runArgs = (output: string, source = urlOf()): string[] => [
  'run',
  ...flags({ source, output, endpoint: tei.url }),
  '--json',
]

async function tableOf(output: string, run: string) {
  await using store = await openStore(output)
  return (await readPlan(store, run))?.table
}

test('each point is one row with the id of the point, and values keep their digits', async () => {
  const big = { u64: 18_446_744_073_709_551_615n, odd: 9_007_199_254_740_993n }
  fill([
    ...numbered(700),
    [big.odd, { text: 'odd', price: rawJSON('12345678901234567890.10'), meta: { n: rawJSON('1e400') } }],
    [big.u64, { text: 'largest', 'a.b': 'dot', id: 'its own', __proto__: { x: 1 } }],
    [9_007_199_254_740_994n, {}],
  ])
  const output = join(folder.path, 'vectors')
  const source = urlOf().replace('//', `//app:${PASSWORD}@`)
  const args = [...runArgs(output, source), '--carry', 'lang', '--carry', 'price', '--carry', 'meta']
  const planned = await inProcess(['plan', ...args.slice(1)])
  const secret = new RegExp(`${KEY}|${PASSWORD}`)
  expect(planned.stdout + planned.stderr).not.toMatch(secret)
  expect(JSON.parse(planned.stdout)).toMatchObject({ estimatedDocuments: 703 })
  expect(await readdir(folder.path)).toEqual([])

  const { stdout, stderr } = await inProcess(args)
  expect(stderr).toMatch(
    /collection docs of qdrant\+http:\S+: 703 points as of 20\S+Z, copied into the output$/m,
  )
  expect(stdout + stderr).not.toMatch(secret)
  const { run, totals } = JSON.parse(stdout)
  expect(totals).toMatchObject({ documents: 703, rows: 702, rejects: 1 })
  const found = new Map<string, unknown[]>()
  for await (const { ids, extra } of readEmbeddings(output, { extra: true }))
    for (const [row, id] of ids.entries())
      found.set(
        id,
        ['lang', 'price', 'meta'].map(name => extra.get(name)?.[row]),
      )
  expect(found.size).toBe(702)
  expect(found.get(String(big.odd))).toEqual([null, '12345678901234567890.10', '{"n":1e400}'])
  expect(found.get(String(big.u64))).toEqual([null, null, null])
  expect(found.get(String(idOf(3)))).toEqual(['en', null, null])
  expect(await tableOf(output, run)).toMatchObject({ format: 'qdrant', name: 'docs', rows: 703 })
  const files = await readdir(output, { recursive: true, withFileTypes: true })
  for (const file of files.filter(each => each.isFile())) {
    const content = await readFile(join(file.parentPath, file.name))
    for (const text of [KEY, PASSWORD, 'never']) expect(content.includes(text), file.name).toBe(false)
  }
  expect((await inProcess(['verify', '--output', output])).code).toBe(0)

  // The same points give the same run; an edited one is embedded alone.
  const again = await inProcess(args)
  expect(JSON.parse(again.stdout)).toMatchObject({ run })
  edit(4, { text: 'edited' })
  const next = await inProcess(args)
  expect(JSON.parse(next.stdout).totals).toMatchObject({ rows: 702, reused: 701 })
})

test('points are read again until two readings are equal: the copy is the state between them', async () => {
  fill(numbered(600))
  const corpus = await openCorpus(urlOf())
  await using output = await openStore(join(folder.path, 'vectors'), { create: true })
  let pages = 0
  // Three pages are a reading: an edit behind its own page, one in front of it, a new and a deleted
  // point, all in the first.
  server.onScroll = () => {
    pages += 1
    if (pages !== 2) return
    edit(1, { text: 'edited behind' })
    edit(598, { text: 'edited in front' })
    edit(2_000, { text: 'added' })
    server.collections.get('docs')?.points.delete(599)
  }
  const copy = await corpus.copyTo?.(output, { paths: ['point_id', 'text'], id: 'point_id', onCopied() {} })
  expect(copy?.table).toMatchObject({ rows: 600, snapshot: expect.stringMatching(/Z$/) })
  expect(copy?.table).not.toHaveProperty('edited')
  expect(pages).toBe(9)
  const texts = new Map<unknown, unknown>()
  for await (const { key } of copy?.objects() ?? [])
    for (const line of String(await copy?.store.get(key))
      .trim()
      .split('\n')) {
      const { point_id: id, text, ...rest } = JSON.parse(line)
      expect(rest).toEqual({})
      texts.set(id, text)
    }
  const held = [...(server.collections.get('docs')?.points.values() ?? [])]
  expect(texts).toEqual(new Map(held.map(({ id, payload }) => [id, payload.text])))
})

test('a collection that is edited all the time is copied after three readings, and the run states that', async () => {
  fill(numbered(600))
  let edits = 0
  server.onScroll = () => {
    edits += 1
    edit(1, { text: `edit ${edits}` })
  }
  const output = join(folder.path, 'vectors')
  const { stdout, stderr } = await inProcess(runArgs(output))
  const { run, totals } = JSON.parse(stdout)
  expect(totals).toMatchObject({ documents: 600, rows: 600, rejects: 0 })
  expect(stderr).toMatch(
    /warning: collection docs of \S+ 600 points as of \S+, copied into the output, and edited meanwhile: 1 of \d+ blocks? of rows differ/,
  )
  expect(await tableOf(output, run)).toMatchObject({ edited: { blocks: 1 } })
})

test('points without the text are rejects, also where a block of the copy holds no others', async () => {
  // The copy cuts a block in front of this id.
  let cut = 11
  while (crc32(String(cut)) % 2_048 !== 0) cut += 1
  fill([
    ...Array.from({ length: 10 }, (_, i): [Id, Record<string, unknown>] => [
      i,
      { body: `document ${i}`, lang: 'en' },
    ]),
    [cut, { other: 1 }],
    [cut + 1, {}],
  ])
  const output = join(folder.path, 'vectors')
  const args = [...runArgs(output), '--text', 'body', '--carry', 'lang', '--max-rejects', '50%']
  const { stdout, stderr } = await inProcess(args)
  expect(stderr).not.toContain('error')
  const { run, totals } = JSON.parse(stdout)
  expect(totals).toMatchObject({ documents: 12, rows: 10, rejects: 2 })
  await using store = await openStore(output)
  expect(await readPlan(store, run)).toMatchObject({ objects: 2, layout: { carry: [{ name: 'lang' }] } })
})

test('the fields of JSON pointers are read', async () => {
  fill([[1, { 'a.b': { c: 1 }, 'x/y': 2, 'm.n': 3, meta: { z: 4 }, a: 5, secret: 6 }]])
  const opened = await openQdrantCollection(urlOf())
  const rows = await Array.fromAsync(
    opened.rows(['/a.b/c', '/x~1y', 'm.n', 'meta.z'], { key: 'point_id', onSnapshot() {} }),
  )
  expect(JSON.parse(String(rows[0]?.[0]?.json))).toEqual({
    point_id: 1,
    'a.b': { c: 1 },
    'x/y': 2,
    'm.n': 3,
    meta: { z: 4 },
  })
})

test('an index with ids beyond 2^53 is examined once', async () => {
  const first = 2n ** 53n
  fill(Array.from({ length: 600 }, (_, i) => [first + BigInt(i), { text: `document ${i}` }]))
  await using index = await openIndex(urlOf())
  const ids: string[] = []
  for await (const rows of index.rows()) ids.push(...rows.map(({ id }) => id))
  expect(ids).toEqual(Array.from({ length: 600 }, (_, i) => String(first + BigInt(i))))
})

test.each<[what: string, url: () => string, args: readonly string[], code: number, message: RegExp]>([
  ['no collection of the name', () => urlOf('nothing'), [], 2, /has no collection 'nothing'/],
  ['an empty collection', () => urlOf('empty'), [], 2, /the collection 'empty' at \S+ has no points/],
  [
    'a URL without a collection',
    () => `qdrant+${server.url}`,
    [],
    2,
    /names no collection: write it as qdrant\+https/,
  ],
  [
    'a password with a slash',
    () => urlOf().replace('//', '//app:3/hunter2@'),
    [],
    2,
    /the URL of the vector store is invalid: percent-encode.*--source/,
  ],
  ['a URL without a protocol', () => 'qdrant://host?collection=docs', [], 2, /has no protocol: write it as/],
  [
    'a key over plain HTTP',
    () => 'qdrant+http://qdrant.example?collection=docs',
    [],
    2,
    /unencrypted.*--source/,
  ],
  [
    'a field that no point has',
    () => urlOf(),
    ['--text', 'body'],
    2,
    /has no field "body"; its fields are "point_id"/,
  ],
  ['a format', () => urlOf(), ['--format', 'csv'], 2, /the rows of a table have no format/],
  [
    'a payload with the name of the id',
    () => urlOf('named'),
    [],
    2,
    /payload of the point 5 .* has a field 'point_id'/,
  ],
])('%s is refused in one line', async (_, url, args, code, message) => {
  fill([[1, { text: 'a' }]])
  const [docs] = server.collections.values()
  if (docs === undefined) throw new Error('no collection')
  server.collections.set('empty', { ...docs, points: new Map() })
  const named = { id: 5, payload: { text: 'a', point_id: 6 }, vector: [1, 0] }
  server.collections.set('named', { ...docs, points: new Map([[5, named]]) })
  const output = join(folder.path, 'vectors')
  const refused = await inProcess(['run', ...flags({ source: url(), output, endpoint: tei.url }), ...args])
  expect(refused.stderr).toMatch(message)
  expect(refused.stderr).not.toContain(PASSWORD)
  expect(refused.stderr.trim().split('\n')).toHaveLength(1)
  expect(refused.code).toBe(code)
})

test('a wrong key is refused, and no message shows it', async () => {
  fill(numbered(3))
  const args = ['plan', ...flags({ source: urlOf(), endpoint: tei.url })]
  const refused = await inProcess(args, { QDRANT_API_KEY: 'wrong-key' })
  expect(refused.stderr).toMatch(/denies access \(401\).*check the key/)
  expect(refused.stderr).not.toContain('wrong-key')
  expect(refused.code).toBe(5)
})

for (const [name, lack, url] of [
  ['the stand-in', undefined, undefined],
  ['a real server', lackOfQdrant, qdrantUrl],
] as const) {
  testUnless(
    lack,
    `${name}: each point is one row while points are edited, and ids and texts are those of the server`,
    async () => {
      vi.stubEnv('QDRANT_API_KEY', 'a-key')
      await using client = await qdrantClient(url)
      const pointAt = (i: number, text = `document ${i}`): PointOf => ({
        id: i % 3 === 0 ? String(idOf(i)) : i,
        vector: [1, 0],
        payload: { text, lang: 'en', price: 0.1 + i },
      })
      await client.create('edited_points', 2)
      await client.put(
        'edited_points',
        Array.from({ length: POINTS }, (_, i) => pointAt(i)),
      )
      let edits = 0
      let isOver = false
      const editing = (async () => {
        for (; !isOver; edits += 1)
          await client.put('edited_points', [pointAt((edits * 7_919) % POINTS, `edit ${edits}`)])
      })()
      const output = join(folder.path, 'vectors')
      const source = `qdrant+${client.url}?collection=edited_points`
      const { stdout, stderr } = await inProcess([...runArgs(output, source), '--carry', 'price']).finally(
        () => {
          isOver = true
        },
      )
      await editing
      process.stdout.write(
        `${name}: ${edits} edits; ${/, and edited.*$/m.exec(stderr)?.[0] ?? 'as of one state'}\n`,
      )
      expect(JSON.parse(stdout).totals, stderr).toMatchObject({ documents: POINTS, rows: POINTS, rejects: 0 })
      const ids = new Set<string>()
      const prices = new Map<string, unknown>()
      for await (const batch of readEmbeddings(output, { extra: true }))
        for (const [row, id] of batch.ids.entries()) {
          ids.add(id)
          prices.set(id, batch.extra.get('price')?.[row])
        }
      const held = (await Array.fromAsync(client.points('edited_points'))).flat()
      expect(ids).toEqual(new Set(held.map(({ id }) => String(id))))
      expect(prices).toEqual(new Map(held.map(({ id, payload }) => [String(id), payload.price])))

      // Nothing is edited any more: what was missed is embedded, and the copy has one state.
      const next = await inProcess(runArgs(join(folder.path, 'again'), source))
      expect(next.stderr).not.toContain('edited meanwhile')
      await client.request('DELETE', '/collections/edited_points')
    },
    120_000 + 10 * POINTS,
  )
}
