// A copy of a table during which the server sends nothing for long: it continues while the server
// works, whatever is between, and fails when the process of the server has ended.

import { openPostgresTable } from '@reembed/corpus'
import { withDeadlines } from '@reembed/shared'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPooler } from '../parts/pooler.ts'
import { lackOfPostgres, type PostgresServer, startPostgres } from '../parts/postgres.ts'

const name = lackOfPostgres === undefined ? 'a silent copy' : `a silent copy (not run: ${lackOfPostgres})`
const LOCK = 7_317
/** Its row comes when the test has released the lock. A blocked lock would end by lock_timeout. */
const VIEW = `CREATE FUNCTION released() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    WHILE NOT pg_try_advisory_xact_lock_shared(${LOCK}) LOOP PERFORM pg_sleep(0.02); END LOOP;
    RETURN true; END $$;
  CREATE VIEW docs AS SELECT 1 AS id, released()`
const portOf = (server: PostgresServer): number => Number(new URL(server.url).port)

describe.skipIf(lackOfPostgres !== undefined)(name, () => {
  let server: PostgresServer
  let replica: PostgresServer
  let client: pg.Client
  beforeAll(async () => {
    ;[server, replica] = await Promise.all([startPostgres(), startPostgres()])
    client = await server.connect()
    await client.query(VIEW)
  })
  afterAll(async () => {
    await Promise.all([server, replica].map(part => part?.[Symbol.asyncDispose]()))
  })

  /** Begins a copy that waits for the lock. */
  async function copyThrough(port: number): Promise<{ readonly lines: Promise<string[]> }> {
    const opened = await openPostgresTable(
      server.url.replace(String(portOf(server)), String(port)).concat('?table=docs'),
    )
    await client.query(`SELECT pg_advisory_lock(${LOCK})`)
    const copy = async (): Promise<string[]> => {
      const lines: string[] = []
      for await (const rows of opened.rows(['id', 'released'], { key: 'id', onSnapshot() {} }))
        for (const { json } of rows) lines.push(json.toString())
      return lines
    }
    return { lines: copy() }
  }

  test('continues behind a pooler that invents process ids, although one probe is lost and one reaches a replica', async () => {
    // Connection 0 opens the table, 1 copies, and the later ones are probes.
    const [lost, astray] = [2, 3]
    await using pooler = await startPooler(n =>
      n === lost ? undefined : portOf(n === astray ? replica : server),
    )
    await withDeadlines({ timeoutMs: 6_000 }, async () => {
      const { lines } = await copyThrough(pooler.port)
      const ended = lines.catch((error: unknown) => error)
      try {
        // All but 1.
        await expect.poll(() => pooler.ended, { timeout: 20_000 }).toBeGreaterThan(astray)
      } finally {
        await client.query(`SELECT pg_advisory_unlock(${LOCK})`)
      }
      expect(await ended).toEqual(['{"id":1,"released":true}'])
    })
  }, 30_000)

  test('fails once its process has ended on the server, although the connection stays open', async () => {
    await using pooler = await startPooler(() => portOf(server))
    await withDeadlines({ timeoutMs: 6_000 }, async () => {
      const { lines } = await copyThrough(pooler.port)
      const ended = lines.catch((error: unknown) => error)
      try {
        const waiting = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        await expect
          .poll(async () => (await client.query(`SELECT 1 ${waiting}`)).rowCount, { timeout: 20_000 })
          .toBe(1)
        pooler.mute()
        await client.query(`SELECT pg_terminate_backend(pid) ${waiting}`)
        expect(await ended).toMatchObject({
          code: 'STORE_UNREACHABLE',
          message: expect.stringContaining('the connection is closed on the server'),
        })
      } finally {
        await client.query(`SELECT pg_advisory_unlock(${LOCK})`)
      }
    })
  }, 30_000)
})
