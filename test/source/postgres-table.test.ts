// A table of a real PostgreSQL as the corpus of a run.

import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { openPostgresTable } from '@reembed/corpus'
import { modelOf, openEndpoint } from '@reembed/endpoint'
import { createHashEngine, serveTei, type TeiServer } from '@reembed/local'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { collectBlocks } from '@reembed/producer'
import { readRunStateRecord } from '@reembed/protocol'
import { readEmbeddings } from '@reembed/shard'
import { withDeadlines } from '@reembed/shared'
import { openDeleter, openStore } from '@reembed/store'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { flags, temporaryFolder } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'
import { lackOfPostgres, type PostgresServer, startPostgres } from '../parts/postgres.ts'

const name =
  lackOfPostgres === undefined
    ? 'a table of PostgreSQL'
    : `a table of PostgreSQL (not run: ${lackOfPostgres})`

describe.skipIf(lackOfPostgres !== undefined)(name, () => {
  let server: PostgresServer
  let client: pg.Client
  let tei: TeiServer
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  beforeAll(async () => {
    ;[server, tei] = await Promise.all([
      startPostgres(),
      serveTei({ engine: createHashEngine({ dimensions: 8 }) }),
    ])
    client = await server.connect()
  })
  afterAll(async () => {
    await Promise.all([server, tei].map(part => part?.[Symbol.asyncDispose]()))
  })
  beforeEach(async () => {
    folder = await temporaryFolder()
    await client.query('DROP TABLE IF EXISTS docs')
  })
  afterEach(() => folder[Symbol.asyncDispose]())

  const urlOf = (table: string): string => `${server.url}?table=${encodeURIComponent(table)}`

  async function linesOf(table: string, paths: readonly string[]): Promise<string[]> {
    const opened = await openPostgresTable(urlOf(table))
    const lines: string[] = []
    for await (const rows of opened.rows(paths, { key: 'id', onSnapshot() {} }))
      for (const { json } of rows) lines.push(json.toString())
    return lines
  }

  test('each type arrives as an exact value', async () => {
    await client.query(
      `SET TimeZone = 'Asia/Tokyo'; CREATE DOMAIN price AS numeric(20, 4); CREATE DOMAIN cost AS price`,
    )
    const columns: readonly (readonly [type: string, value: string, json: string])[] = [
      ['smallint', '-7', '-7'],
      ['bigint', '9223372036854775807', '9223372036854775807'],
      ['numeric', "'123456789012345678901234567890.1200'", '"123456789012345678901234567890.1200"'],
      ['price', '12.3', '"12.3000"'],
      ['cost', '12.3', '"12.3000"'],
      ['numeric[]', "'{{1.20,2},{3,NULL}}'", '[["1.20","2"],["3",null]]'],
      ['cost[]', "'{12.3}'", '["12.3000"]'],
      ['real', '0.1', '0.1'],
      ['double precision', "'0.1'::float8 + '0.2'::float8", '0.30000000000000004'],
      ['double precision', "'NaN'", '"NaN"'],
      ['boolean', 'true', 'true'],
      ['char(4)', "'a'", '"a   "'],
      ['uuid', "'F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6'", '"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"'],
      ['date', "'2024-02-29'", '"2024-02-29"'],
      ['timestamp', "'2024-01-02 03:04:05.678901'", '"2024-01-02T03:04:05.678901"'],
      ['timestamptz', "'2024-01-02 03:04:05.5+09'", '"2024-01-01T18:04:05.5+00:00"'],
      ['interval', "'1 day 02:03:04'", '"P1DT2H3M4S"'],
      ['integer[]', "'{{1,2},{3,4}}'", '[[1,2],[3,4]]'],
      ['jsonb', `'{"n": 12345678901234567890.10}'`, '{"n": 12345678901234567890.10}'],
      ['json', `E'{"a":\\n"x\\\\ny"}'`, '{"a": "x\\ny"}'],
      ['text', `E'two\\nlines "quoted" \\\\ \\U0001F600'`, '"two\\nlines \\"quoted\\" \\\\ 😀"'],
    ]
    await client.query(
      `CREATE TABLE docs (id int PRIMARY KEY, ${columns.map(([type], i) => `c${i} ${type}`).join(', ')})`,
    )
    await client.query(
      `INSERT INTO docs VALUES (1, ${columns.map(([, value]) => value).join(', ')}); INSERT INTO docs VALUES (2)`,
    )
    const names = columns.map((_, i) => `c${i}`)
    const [first, second] = await linesOf('docs', ['id', ...names])
    expect(first).toBe(`{"id":1,${columns.map(([, , json], i) => `"c${i}":${json}`).join(',')}}`)
    expect(second).toBe(`{"id":2,${names.map(column => `"${column}":null`).join(',')}}`)
  })

  test('names are quoted, paths select their column, and no other column is read', async () => {
    await client.query(`CREATE SCHEMA IF NOT EXISTS "my.s"; DROP TABLE IF EXISTS "my.s"."T x", "T2";
      CREATE TABLE "my.s"."T x" (id int, "od""d" text, meta jsonb, "a.b" text, secret text);
      INSERT INTO "my.s"."T x" VALUES (2, 'two', '{"t": "x"}', 'dot', 'never'), (1, NULL, NULL, NULL, 'never');
      CREATE TABLE "T2" (id int, text text); INSERT INTO "T2" VALUES (1, 'one')`)
    expect(await linesOf('"my.s"."T x"', ['id', 'od"d', '/meta/t', 'a.b'])).toEqual([
      '{"id":1,"od\\"d":null,"meta":null,"a.b":null}',
      '{"id":2,"od\\"d":"two","meta":{"t": "x"},"a.b":"dot"}',
    ])
    expect(await linesOf('public.T2', ['id', 'text'])).toEqual(['{"id":1,"text":"one"}'])
  })

  test('a key is cut behind the limit of an id, and limits of the role for short queries are lifted', async () => {
    const names = ['statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout']
    const found = await client.query('SELECT name FROM pg_settings WHERE name = ANY ($1)', [names])
    const limits: readonly string[] = found.rows.map(row => row.name)
    const forAll = (sql: (limit: string) => string) => client.query(limits.map(sql).join(';'))
    await forAll(limit => `ALTER ROLE app SET ${limit} = '1h'`)
    try {
      const values = limits.map(limit => `current_setting('${limit}')`).join(` || ' ' || `)
      await client.query(
        `DROP VIEW IF EXISTS long; CREATE VIEW long AS SELECT repeat('é', 3000) AS id, ${values} AS text`,
      )
      const opened = await openPostgresTable(urlOf('long'))
      const rows = await Array.fromAsync(opened.rows(['text'], { key: 'id', onSnapshot() {} }))
      expect(rows.flat().map(({ key, json }) => [key.toString(), json.toString()])).toEqual([
        ['é'.repeat(1_025), `{"text":"${limits.map(() => '0').join(' ')}"}`],
      ])
    } finally {
      await forAll(limit => `ALTER ROLE app RESET ${limit}`)
    }
  })

  test('a source that cannot be read is refused in one line that states the cause and shows no password', async () => {
    await client.query(`CREATE DOMAIN raw AS bytea; CREATE DOMAIN raws AS raw[];
      CREATE TABLE docs (id int, text text, raw bytea, raws raws); INSERT INTO docs VALUES (1, 'a');
      DROP TABLE IF EXISTS hidden; CREATE TABLE hidden (id int, text text); INSERT INTO hidden VALUES (1, 'a');
      DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN; GRANT SELECT ON hidden TO weak;
      ALTER TABLE hidden ENABLE ROW LEVEL SECURITY`)
    const at = server.url.replace('app@', 'app:s3cret@')
    const weak = server.url.replace('app@', 'weak:s3cret@')
    for (const [url, args, code, message] of [
      [at, [], 2, 'names no table: add ?table=<name>'],
      [`${at}?table=nothing`, [], 2, "has no table or view 'nothing'"],
      [`${at.replace('/postgres', '/none')}?table=docs`, [], 2, 'database "none" does not exist'],
      [
        `${at}?table=docs`,
        ['--text', 'body'],
        2,
        'has no column "body"; its columns are "id", "text", "raw", "raws"',
      ],
      [`${at}?table=docs`, ['--text', 'raw'], 2, 'has the type bytea, which has no exact text'],
      [`${at}?table=docs`, ['--text', 'raws'], 2, 'has the type bytea[], which has no exact text'],
      [`${at}?table=docs`, ['--format', 'csv'], 2, 'the rows of a table have no format'],
      [`${weak}?table=docs`, [], 5, "denies reading the table 'docs': grant SELECT"],
      [`${weak}?table=hidden`, [], 5, 'would leave rows out'],
      ['postgres://app:s3cret@127.0.0.1:1/postgres?table=docs', [], 5, 'ECONNREFUSED'],
      ['postgres://app:s3/cret@127.0.0.1/postgres?table=docs', [], 2, 'percent-encode'],
      ['postgres://app:3?s3cret@127.0.0.1/postgres?table=docs', [], 2, 'URL of the source is invalid'],
      ['postgres://app:3#s3cret@127.0.0.1/postgres?table=docs', [], 2, 'URL of the source is invalid'],
      [`${at}?table=docs&sslrootcert=/missing`, [], 2, "no such file or directory, open '/missing'; correct"],
    ] as const) {
      const run = ['plan', ...flags({ source: url, endpoint: tei.url }), ...args]
      const { code: found, stderr, stdout } = await inProcess(run)
      expect({ url, found, stderr: stderr.trim().split('\n').at(-1) }).toEqual({
        url,
        found: code,
        stderr: expect.stringContaining(message),
      })
      expect(stderr + stdout).not.toMatch(/s3\/?cret/)
    }
    await client.query('DELETE FROM docs')
    const empty = await inProcess(['plan', ...flags({ source: `${at}?table=docs`, endpoint: tei.url })])
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining("the table 'docs'") })
  })

  test('a server that accepts a connection and is silent ends the command within the deadline', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const opening = withDeadlines({ timeoutMs: 1_500 }, () =>
      openPostgresTable(`postgres://app@127.0.0.1:${port}/postgres?table=docs`),
    )
    await expect(opening).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', option: 'source' })
    silent.close()
  })

  test('a plan reads a sample and writes nothing; a run copies the columns it needs, and reads the copy', async () => {
    await client.query(`CREATE TABLE docs (id int PRIMARY KEY, text text, lang text, price numeric(9, 2), secret text);
      INSERT INTO docs SELECT i, CASE i WHEN 77 THEN NULL ELSE 'document ' || i END, 'en', 1.50, 'never' FROM generate_series(1, 6000) i; ANALYZE docs`)
    const output = join(folder.path, 'vectors')
    const source = urlOf('docs').replace('app@', 'app:s3cret@')
    const args = [...flags({ source, output, endpoint: tei.url }), '--carry', 'lang', '--carry', 'price']
    const planned = await inProcess(['plan', ...args, '--json'])
    expect(planned.code).toBe(0)
    const { estimatedDocuments } = JSON.parse(planned.stdout)
    expect(Math.abs(estimatedDocuments - 6_000)).toBeLessThan(600)
    expect(await readdir(folder.path)).toEqual([])

    const ran = await inProcess(['run', ...args, '--json'])
    expect(ran.stderr).toMatch(
      /table docs of postgres:\/\/127\.0\.0\.1:\d+\/postgres: 6,000 rows of snapshot/,
    )
    expect(JSON.parse(ran.stdout).totals).toMatchObject({ documents: 6_000, rows: 5_999, rejects: 1 })
    const found = new Map<string, unknown>()
    for await (const { ids, extra } of readEmbeddings(output, { extra: true }))
      for (const [row, id] of ids.entries())
        found.set(id, [extra.get('lang')?.[row], extra.get('price')?.[row]])
    expect(found.size).toBe(5_999)
    expect(new Set(Array.from(found.values(), value => JSON.stringify(value)))).toEqual(
      new Set(['["en","1.50"]']),
    )
    const files = await readdir(output, { recursive: true, withFileTypes: true })
    for (const file of files.filter(each => each.isFile())) {
      const content = await readFile(join(file.parentPath, file.name))
      expect(content.includes('s3cret') || content.includes('never'), file.name).toBe(false)
    }
    expect((await inProcess(['verify', '--output', output])).code).toBe(0)
  })

  test('an edit changes one block: the others are not written again, and only the edited row is embedded', async () => {
    await client.query(`CREATE TABLE docs (id int PRIMARY KEY, text text, n int DEFAULT 0);
      INSERT INTO docs SELECT i, 'document ' || i FROM generate_series(1, 20000) i`)
    const output = join(folder.path, 'vectors')
    const run = ['run', ...flags({ source: urlOf('docs'), output, endpoint: tei.url }), '--json']
    const blocks = async () =>
      (await readdir(join(output, 'tables'), { recursive: true })).filter(each => /jsonl/.test(each)).sort()
    const totals = async () => JSON.parse((await inProcess(run)).stdout)
    const first = await totals()
    const before = await blocks()
    expect(before.length).toBeGreaterThan(4)
    expect(await totals()).toMatchObject({ run: first.run })
    // Physically every row moves, and no value that the run reads changes.
    await client.query('UPDATE docs SET n = n + 1')
    await client.query('VACUUM FULL docs')
    expect(await totals()).toMatchObject({ run: first.run })
    expect(await blocks()).toEqual(before)

    await client.query(
      `UPDATE docs SET text = 'edited' WHERE id = 777; DELETE FROM docs WHERE id = 12345; INSERT INTO docs VALUES (-5, 'added')`,
    )
    const second = await totals()
    expect(second.totals).toMatchObject({ documents: 20_000, rows: 20_000, reused: 19_998 })
    const after = await blocks()
    const added = after.filter(block => !before.includes(block))
    expect(added.length).toBeLessThan(4)
    expect(after.length).toBe(before.length + added.length)

    // gc keeps the blocks of both runs, and deletes those of a run that it deletes.
    const gc = ['gc', '--output', output, '--keep', '1', '--older-than', '0', '--json']
    expect(JSON.parse((await inProcess(gc)).stdout).tables.objects).toBeGreaterThan(0)
    expect(await blocks()).toEqual(after)
    expect((await inProcess([...gc, '--delete'])).code).toBe(0)
    const rest = await blocks()
    expect(rest.length).toBeLessThan(after.length + 4)
    expect(await totals()).toMatchObject({ run: second.run })
    expect((await inProcess(['verify', '--output', output])).code).toBe(0)
  })

  test('a block that gc deletes while a run is planned fails that plan, and the next plan does without it', async () => {
    await client.query(`CREATE TABLE docs (id int PRIMARY KEY, text text);
      INSERT INTO docs SELECT i, 'document ' || i FROM generate_series(1, 50) i`)
    await using output = await openStore(join(folder.path, 'vectors'), { create: true })
    await using endpoint = await openEndpoint(tei.url)
    const copied = async () => {
      const corpus = await openCorpus(urlOf('docs'))
      const copy = await corpus.copyTo?.(output, { paths: ['id', 'text'], id: 'id', onCopied() {} })
      if (copy === undefined) throw new Error('no copy')
      return planRun(copy, { model: modelOf(endpoint) })
    }
    const rules = { keep: 1, beforeMs: Number.POSITIVE_INFINITY }
    await using deleter = await openDeleter(output.url, {})
    const planned = await copied()
    expect(await collectBlocks(output, rules, { deleter })).toMatchObject({ objects: 1 })
    await expect(recordPlan(output, planned)).rejects.toMatchObject({
      code: 'RUN_STOPPED',
      message: expect.stringMatching(/gc deleted the rows .* repeat the command/),
    })
    expect(await readRunStateRecord(output, planned.head.run)).toMatchObject({ state: 'failed' })

    const next = await copied()
    expect(next.head.run).not.toBe(planned.head.run)
    const { plan } = await recordPlan(output, next)
    expect(plan.table).toMatchObject({ format: 'postgres', name: 'docs', rows: 50 })
    // A plan names the block now, so gc keeps it.
    expect(await collectBlocks(output, rules, { deleter })).toMatchObject({ objects: 0 })
  })
})
