// The view that searches use. DDL is transactional: a search sees the view as it was before or
// after the transaction, and never none.

import { setTimeout as sleep } from 'node:timers/promises'
import { quoted } from '@reembed/export'
import { codeOf, ReembedError } from '@reembed/shared'
import type { PoolClient } from 'pg'
import type { VectorStore } from '../load/vector-store.ts'

/** SQLSTATE `lock_not_available`. */
const LOCK_NOT_AVAILABLE = '55P03'
/** SQLSTATE `invalid_table_definition`: the columns of the view would change. */
const OTHER_COLUMNS = '42P16'
/**
 * New searches queue behind a transaction that waits for a running one. So the switch waits for
 * this long only, lets them through, and tries again.
 */
const LOCK_TIMEOUT_MS = 500
const PAUSE_MS = 250
const TRIES = 120

type WithClient = <T>(signal: AbortSignal | undefined, work: (client: PoolClient) => Promise<T>) => Promise<T>

export const createSwitch = (
  withClient: WithClient,
  address: string,
): Pick<VectorStore, 'current' | 'switchTo'> => ({
  current: name => withClient(undefined, client => tableOf(client, name)),
  switchTo: (name, target, signal) =>
    withClient(signal, async client => {
      // To replace the view would wait for the searches that use it.
      if ((await tableOf(client, name)) === target) return
      await requireOwnView(client, name, address)
      for (let tried = 1; ; tried += 1) {
        try {
          return await replaceView(client, name, target)
        } catch (error) {
          await client.query('ROLLBACK')
          if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error
          if (tried === TRIES) {
            throw new ReembedError(
              'STORE_UNREACHABLE',
              `the view '${name}' was not switched: searches have used it without a pause for a minute; end the longest ones (pg_stat_activity), then switch again`,
            )
          }
          await sleep(PAUSE_MS, undefined, { signal })
        }
      }
    }),
})

/** On each view that `switchTo` makes. A view without it is a user's own. */
const COMMENT = 'reembed: the vectors that searches use; a switch replaces this view'

/** @throws ReembedError USAGE for a view of this name that reembed did not make */
export async function requireOwnView(client: PoolClient, name: string, address: string): Promise<void> {
  const { rows } = await client.query(
    "SELECT obj_description(oid, 'pg_class') AS comment FROM pg_class WHERE oid = to_regclass($1)",
    [quoted(name)],
  )
  if (rows[0] === undefined || rows[0].comment === COMMENT) return
  throw new ReembedError(
    'USAGE',
    `'${name}' at ${address} is a view that reembed did not make: rename it (ALTER VIEW … RENAME TO …), or choose another name`,
    { option: 'name' },
  )
}

/** The table that a view selects from. */
async function tableOf(client: PoolClient, name: string): Promise<string | undefined> {
  const { rows } = await client.query(
    `SELECT t.relname FROM pg_rewrite r
     JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
     JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid AND t.relkind IN ('r', 'p')
     WHERE r.ev_class = to_regclass($1) LIMIT 1`,
    [quoted(name)],
  )
  return rows[0]?.relname
}

async function replaceView(client: PoolClient, name: string, target: string): Promise<void> {
  const [view, select] = [quoted(name), `SELECT * FROM ${quoted(target)}`]
  await client.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SAVEPOINT replace`)
  try {
    await client.query(`CREATE OR REPLACE VIEW ${view} AS ${select}`)
  } catch (error) {
    if (codeOf(error) !== OTHER_COLUMNS) throw error
    await client.query('ROLLBACK TO replace')
    const grants = await grantsOf(client, name)
    await client.query(`DROP VIEW ${view}`)
    await client.query(`CREATE VIEW ${view} AS ${select}`)
    for (const grant of grants) await client.query(grant)
  }
  await client.query(`COMMENT ON VIEW ${view} IS '${COMMENT}'; COMMIT`)
}

/** The rights of other roles on a view, as statements that grant them again. */
async function grantsOf(client: PoolClient, name: string): Promise<string[]> {
  const { rows } = await client.query(
    `SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, v.oid::regclass,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
              CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS sql
     FROM pg_class v, aclexplode(v.relacl) a
     WHERE v.oid = to_regclass($1) AND a.grantee <> v.relowner`,
    [quoted(name)],
  )
  return rows.map(({ sql }) => sql)
}
