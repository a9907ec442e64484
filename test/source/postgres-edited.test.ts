// A table of a real PostgreSQL that another client edits all the time, as the corpus of runs that
// are killed. Each edit writes its row also to a history with its transaction, so that the rows of
// any snapshot can be found afterwards. REEMBED_TEST_TABLE_ROWS sets the size.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { createHashEngine, serveTei, type TeiServer } from '@reembed/local'
import { readCurrent, requirePlan } from '@reembed/protocol'
import { readEmbeddings } from '@reembed/shard'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { flags, reembed, start, temporaryFolder } from '../parts/cli.ts'
import { lackOfPostgres, type PostgresServer, startPostgres } from '../parts/postgres.ts'

const ROWS = Number(process.env.REEMBED_TEST_TABLE_ROWS ?? 100_000)
const name = lackOfPostgres === undefined ? 'an edited table' : `an edited table (not run: ${lackOfPostgres})`

const TABLES = `
  CREATE TABLE docs (id int PRIMARY KEY, text text NOT NULL);
  CREATE TABLE history (n bigserial, id int, text text, xid xid8 DEFAULT pg_current_xact_id());
  CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO history (id, text) VALUES (coalesce(NEW.id, OLD.id), NEW.text); RETURN NULL; END $$;
  CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON docs FOR EACH ROW EXECUTE FUNCTION record();
  INSERT INTO docs SELECT i, 'document ' || i || repeat(' about something', 10) FROM generate_series(1, ${ROWS}) i`
const EDIT = `WITH edited AS (UPDATE docs SET text = 'edit ' || $1 || ' of ' || id WHERE id % 1000 = $1 % 1000 RETURNING 1),
    removed AS (DELETE FROM docs WHERE id % 5000 = ($1 * 7 + 3) % 5000 RETURNING 1)
  INSERT INTO docs SELECT ${ROWS} + 10 * $1 + i, 'added ' || $1 FROM generate_series(1, 10) i`
/** The last version of each row that a snapshot sees. */
const AS_OF = `SELECT id::text, text FROM (SELECT DISTINCT ON (id) id, text FROM history
  WHERE pg_visible_in_snapshot(xid, $1::pg_snapshot) ORDER BY id, n DESC) last WHERE text IS NOT NULL`

describe.skipIf(lackOfPostgres !== undefined)(name, () => {
  let server: PostgresServer
  let tei: TeiServer
  beforeAll(async () => {
    ;[server, tei] = await Promise.all([
      startPostgres(),
      serveTei({ engine: createHashEngine({ dimensions: 8 }) }),
    ])
  })
  afterAll(async () => {
    await Promise.all([server, tei].map(part => part?.[Symbol.asyncDispose]()))
  })

  test(`${ROWS} rows are each embedded once, as of the snapshot, although the copy and the run are killed`, async () => {
    await using folder = await temporaryFolder()
    const [editor, reader] = [await server.connect(), await server.connect()]
    await editor.query(TABLES)
    const output = join(folder.path, 'vectors')
    const source = `${server.url}?table=docs`
    const run = ['run', ...flags({ source, output, endpoint: tei.url }), '--include-text', '--json']

    let isOver = false
    let edits = 0
    const editing = (async () => {
      for (; !isOver; edits += 1) await editor.query(EDIT, [edits + 1])
    })()

    const filesBelow = async (place: string, ending: string): Promise<number> =>
      (await readdir(join(output, place), { recursive: true }).catch(() => [])).filter(key =>
        key.endsWith(ending),
      ).length
    /** Runs the command, and kills it as soon as `isDue`. */
    async function killed(isDue: () => Promise<boolean>): Promise<void> {
      const { child, finished } = start(run)
      while (child.exitCode === null && !(await isDue())) await setImmediate()
      child.kill('SIGKILL')
      const { signal, stderr } = await finished
      expect(`${signal}${stderr}`).toMatch(/^SIGKILL/)
    }
    async function expectRowsOfSnapshot(): Promise<number> {
      await using store = await openStore(output)
      const current = await readCurrent(store)
      const { table } = await requirePlan(store, current?.run ?? '')
      const snapshot = table?.format === 'postgres' ? table.snapshot : ''
      const expected = new Map((await reader.query(AS_OF, [snapshot])).rows.map(row => [row.id, row.text]))
      const found = new Map<string, unknown>()
      let count = 0
      for await (const { ids, extra } of readEmbeddings(output, { extra: true }))
        for (const [row, id] of ids.entries()) {
          count += 1
          found.set(id, extra.get('text')?.[row])
        }
      const different = [...expected].filter(([id, text]) => found.get(id) !== text)
      expect({ count, size: found.size, different: different.slice(0, 3) }).toEqual({
        count: expected.size,
        size: expected.size,
        different: [],
      })
      return count
    }

    await killed(async () => (await filesBelow('tables', '.jsonl')) > 1)
    expect(await filesBelow('runs', 'plan.json')).toBe(0)
    await killed(async () => (await filesBelow('runs', '.parquet')) > 1)
    const before = edits
    const finished = await reembed(run)
    expect(finished.code, finished.stderr).toBe(0)
    expect(edits).toBeGreaterThan(before)
    const first = await expectRowsOfSnapshot()

    // Without edits, the same command continues the same run.
    isOver = true
    await editing
    const plans = await filesBelow('runs', 'plan.json')
    const shards = await filesBelow('runs', '.parquet')
    await killed(async () => (await filesBelow('runs', '.parquet')) > shards + 1)
    const again = await reembed(run)
    expect(again.code, again.stderr).toBe(0)
    expect(again.stderr).toMatch(/continuing a run that was started earlier/)
    expect(await filesBelow('runs', 'plan.json')).toBe(plans + 1)
    const second = await expectRowsOfSnapshot()
    const verified = await reembed(['verify', '--output', output])
    expect(verified.code, verified.stderr).toBe(0)
    process.stdout.write(`${edits} edits; ${first} and ${second} rows, each as of its snapshot\n`)
  }, 600_000)
})
