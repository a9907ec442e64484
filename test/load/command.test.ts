// `reembed load` and `reembed switch` as a user runs them, on a real PostgreSQL server.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { putVersion } from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import { loadRun, openVectorStore, switchStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeRun } from '../export/run.ts'
import { reembed, temporaryFolder } from '../parts/cli.ts'
import { startElasticsearch } from '../parts/elasticsearch.ts'
import { testUnless } from '../parts/needs.ts'
import { lackOfPostgres, type PostgresServer, startPostgres } from '../parts/postgres.ts'

let folder: string
let server: PostgresServer | undefined
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-load-'))
  if (lackOfPostgres === undefined) server = await startPostgres()
  await using output = await openStore(folder)
  for (const [index, letter] of ['a', 'b'].entries()) {
    const run = letter.repeat(26)
    await makeRun(output, {
      run,
      dimensions: 16 + 8 * index,
      edit: row => (index === 0 && row === 3 ? { text: 'a \0 b' } : {}),
    })
    await putVersion(output, { version: index + 1, run, seq: index + 1, manifestSha256: '' })
  }
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const refused: [string, string, RegExp][] = [
  ['another kind of URL', 'mysql://localhost/x', /'mysql:\/\/localhost\/x' is not the URL of a vector store/],
  ['no URL', 'wiki', /'wiki' is not the URL of a vector store: begin it with .*postgres:\/\//],
  ['a password in a URL of another kind', 'mysql://me:secret@h/x', /'mysql:\/\/h\/x' is not the URL/],
]
test.each(refused)('%s is refused, naming the URL without credentials', async (_, to, message) => {
  const { code, stderr } = await reembed(['load', '--output', folder, '--to', to])
  expect(stderr).toMatch(message)
  expect(stderr).toMatch('(--to)')
  expect(stderr).not.toContain('secret')
  expect(code).toBe(2)
})

test('a server that does not answer is named without its password', async () => {
  const to = 'postgres://app:secret@127.0.0.1:9/search'
  const { code, stderr } = await reembed(['load', '--output', folder, '--to', to])
  expect(stderr).toMatch(/postgres:\/\/127.0.0.1:9\/search does not answer \(ECONNREFUSED\): start it/)
  expect(stderr).not.toContain('secret')
  expect(code).toBe(5)
})

test.each(['load', 'doctor'])('%s: a certificate of the URL that does not exist is named', async name => {
  const url = 'postgres://app:secret@127.0.0.1:9/search?sslrootcert=/missing.pem'
  const args = name === 'load' ? ['--output', folder, '--to', url] : ['--store', `${url}&table=docs`]
  const { code, stdout, stderr } = await reembed([name, ...args])
  expect(`${stdout}${stderr}`).toMatch(
    /the parameters of the URL of postgres:\/\/127.0.0.1:9\/search cannot be used: .*'\/missing.pem'; correct them/,
  )
  expect(`${stdout}${stderr}`).not.toMatch(/secret|\n +at /)
  expect(code).toBe(name === 'load' ? 2 : 5)
})

test('the target of a run without a plan, which gc has deleted, is dropped by its whole id', async () => {
  await using elastic = await startElasticsearch('9.3.0')
  const to = `elasticsearch+${elastic.url}`
  await using output = await openStore(folder)
  await using vectors = await openVectorStore(to)
  const run = 'b'.repeat(26)
  await loadRun(output, await requireManifest(output, run), vectors, { name: 'old' })
  expect([...elastic.indices.keys()]).toEqual(['old_bbbbbbbbbbbb'])
  const { stdout, stderr } = await reembed(['drop', run, '--output', folder, '--to', to, '--name', 'old'])
  expect(stdout, stderr).toMatch(/dropped +old_bbbbbbbbbbbb of run b{26}/)
  expect(elastic.indices.size).toBe(0)
})

test('drop without a run keeps as many old targets as reembed.yaml states for the store', async () => {
  await using elastic = await startElasticsearch('9.3.0')
  const to = `elasticsearch+${elastic.url}`
  await using own = await temporaryFolder()
  await using output = await openStore(own.path)
  await using vectors = await openVectorStore(to)
  for (const [index, letter] of ['a', 'b', 'c'].entries()) {
    const { manifest } = await makeRun(output, { run: letter.repeat(26), shards: 1, rows: 4 })
    await putVersion(output, { version: index + 1, run: manifest.run, seq: index + 1, manifestSha256: '' })
    await loadRun(output, manifest, vectors, { name: 'wiki' })
    await switchStore(output, vectors, { name: 'wiki' })
  }
  const flags = ['--output', own.path, '--to', to, '--name', 'wiki']
  expect(await reembed(['drop', 'a'.repeat(26), '--keep', '1', ...flags])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('give a run, or --keep <n> without a run'),
  })
  const config = join(own.path, 'reembed.yaml')
  // Each URL is compared with its variables; one that this process lacks belongs to another store.
  const sinks = `[{ url: 'postgres://app:\${NO_SUCH}@db/search' }, { url: '\${WIKI_AT}', name: wiki, keep: 1 }]`
  await writeFile(config, `version: 1\nsinks: ${sinks}\n`)
  const alias = (action: 'add' | 'remove') =>
    fetch(`${elastic.url}/_aliases`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ actions: [{ [action]: { index: 'wiki_aaaaaaaaaaaa', alias: 'other' } }] }),
    })
  await alias('add')
  const refused = await reembed(['drop', ...flags, '--config', config], { WIKI_AT: to })
  expect(refused.stdout, refused.stderr).toMatch(
    /kept +wiki_b{12}\nrefused +wiki_a{12} of run a{26}: wiki_a{12} at \S+ is in use \(alias other\)/,
  )
  expect(refused.code).toBe(1)
  await alias('remove')
  const { stdout, stderr } = await reembed(['drop', ...flags, '--config', config], { WIKI_AT: to })
  expect(stdout, stderr).toMatch(/uses wiki_c{12}\nkept +wiki_b{12}\ndropped +wiki_a{12} of run a{26}\n/)
  expect([...elastic.indices.keys()].sort()).toEqual(['wiki_bbbbbbbbbbbb', 'wiki_cccccccccccc'])
  // A process that loads needs the variables.
  for (const command of [['worker'], ['producer', '--source', own.path]]) {
    command.push('--endpoint', 'http://127.0.0.1:9')
    const place = ['--output', own.path, '--redis', 'redis://127.0.0.1:9', '--config', config]
    expect(await reembed([...command, ...place], { WIKI_AT: to })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`${config}:2: the environment variable NO_SUCH is not set`),
    })
  }
})

testUnless(lackOfPostgres, 'load, switch and --back print what searches and queries use', async () => {
  const flags = ['--output', folder, '--to', server?.url ?? '', '--name', 'wiki']
  const early = await reembed(['switch', ...flags])
  expect(early.stderr).toMatch(
    /version 2 of .* is not loaded into 'wiki'.*: load it first \(`reembed load` loads it\)/,
  )
  expect(early.code).toBe(2)

  await using output = await openStore(folder)
  await putVersion(output, { version: 3, run: 'a'.repeat(26), seq: 3, manifestSha256: '' })
  const first = await reembed(['load', ...flags])
  expect(first.stdout).toMatch(/rows +299\n/)
  expect(first.stdout).toMatch(
    /refused +1 row, listed below runs\/<run>\/loads\/ in the output\n +doc-3-: PostgreSQL cannot store/,
  )
  expect(first.stdout).toMatch(
    /proof +the store counts 299 rows; 110 vectors read back by id, equal bit by bit/,
  )
  expect((await reembed(['switch', ...flags])).stdout).toMatch(/searches +wiki uses wiki_aaaaaaaaaaaa now/)

  await putVersion(output, { version: 4, run: 'b'.repeat(26), seq: 4, manifestSha256: '' })
  const second = JSON.parse((await reembed(['load', ...flags, '--json'])).stdout)
  expect(second).toMatchObject({ record: { target: 'wiki_bbbbbbbbbbbb' }, written: { shards: 3, rows: 300 } })
  const switched = await reembed(['switch', ...flags, '--reason', 'a new model'])
  expect(switched.stdout).toMatch(/searches +wiki uses wiki_bbbbbbbbbbbb now\nbefore +wiki_aaaaaaaaaaaa/)
  expect(switched.stdout).toMatch(
    /queries +embed with .* 24 dimensions.*\n +before: embed with .* 16 dimensions/,
  )
  expect((await reembed(['switch', ...flags])).stdout).toMatch(/wiki used wiki_bbbbbbbbbbbb already/)
  const back = await reembed(['switch', '--back', ...flags, '--json'])
  expect(JSON.parse(back.stdout)).toMatchObject({
    target: 'wiki_aaaaaaaaaaaa',
    from: 'wiki_bbbbbbbbbbbb',
    queries: { model: { dimensions: 16 } },
    queriesBefore: { model: { dimensions: 24 } },
  })
})

testUnless(
  lackOfPostgres,
  'a missing database, a table in the place of the view and a missing role are named',
  async () => {
    const url = server?.url ?? ''
    const client = await server?.connect()
    await client?.query('CREATE TABLE docs (id text)')
    const load = (to: string, name = 'x') => reembed(['load', '--output', folder, '--to', to, '--name', name])
    expect(await load(url.replace(/postgres$/, 'nowhere'))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('database "nowhere" does not exist'),
    })
    expect(await load(url, 'docs')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /'docs' at postgres:.* is a table, .*: rename the table, or choose another name/,
      ),
    })
    await client?.query('CREATE VIEW mine AS SELECT * FROM docs')
    expect(await load(url, 'mine')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/'mine' at postgres:.* is a view that reembed did not make: rename it/),
    })
    await client?.query('DROP VIEW mine')
    expect((await load(url, 'mine')).code).toBe(0)
    await client?.query('CREATE VIEW mine AS SELECT * FROM docs')
    expect(await reembed(['switch', '--output', folder, '--to', url, '--name', 'mine'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/'mine' at postgres:.* is a view that reembed did not make/),
    })
    const { rows } = (await client?.query("SELECT pg_get_viewdef('mine') AS sql")) ?? { rows: [] }
    expect(rows[0].sql).toContain('docs')
    expect(await load(url.replace('app@', 'other@'))).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('denies access: role "other" does not exist'),
    })
  },
)
