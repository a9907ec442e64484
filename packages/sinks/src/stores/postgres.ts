// PostgreSQL with pgvector. Rows are copied in binary into a table without an index; the primary
// key and the HNSW index are built afterwards. Searches use a view.
//
//   reembed_loads         one row for each target: its load, run and the hash of the run
//   reembed_load_shards   one row for each shard that was copied, committed together with its rows
//   <name>_<run>          the target
//   <name>                the view

import {
  COPY_HEADER,
  COPY_TRAILER,
  copyRows,
  pgColumns,
  pgIndexOf,
  quoted,
  requirePgDimensions,
} from '@reembed/export'
import type { RefusedRow } from '@reembed/protocol'
import { codeOf, deadlines, importClient, ReembedError, release, startWait } from '@reembed/shared'
import type { ClientConfig, Pool, PoolClient } from 'pg'
import {
  notHeld,
  type RefusedByShard,
  type ShardWrite,
  type Target,
  type TargetUpdate,
  targetInUse,
  type VectorStore,
} from '../load/vector-store.ts'
import { createCopyWriter } from './postgres-copy.ts'
import { createClient, postgresError } from './postgres-error.ts'
import { createSwitch, requireOwnView } from './postgres-switch.ts'
import { connectionOf, watchStatement } from './postgres-watch.ts'

const PACKAGES = 'pg pg-copy-streams'
/** Serializes `prepare` and `finish` of all processes; any constant that others do not use. */
const LOCK = 7_317_294_501
/** SQLSTATE `dependent_objects_still_exist`: a view selects from the table. */
const HAS_DEPENDENTS = '2BP01'
/** Shards are copied side by side, and one connection is left for the rest. */
const MAX_CONNECTIONS = 8

const TABLES = `CREATE TABLE IF NOT EXISTS reembed_loads (
  target text PRIMARY KEY, load text NOT NULL, run text NOT NULL, shards_sha256 text NOT NULL,
  created timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS reembed_load_shards (
  load text NOT NULL, shard integer NOT NULL, refused jsonb NOT NULL, PRIMARY KEY (load, shard))`

/**
 * Opens a PostgreSQL database. `url` is a connection URI of libpq; PGPASSWORD and ~/.pgpass apply.
 */
export async function openPostgres(url: string): Promise<VectorStore> {
  const [{ default: pg }, { from }] = await Promise.all([
    importClient(PACKAGES, () => import('pg')),
    importClient(PACKAGES, () => import('pg-copy-streams')),
  ])
  const { answerMs } = deadlines().sink
  const options = postgresOptions(url)
  const address = postgresAddress(url)
  createClient(() => new pg.Client(options), address)
  const pool: Pool = new pg.Pool({ ...options, max: MAX_CONNECTIONS })
  // A broken idle connection is replaced; the next query reports an outage.
  pool.on('error', () => {})

  /** Runs `work` on a connection of its own. An abort cancels the statement in progress. */
  async function withClient<T>(
    signal: AbortSignal | undefined,
    work: (client: PoolClient) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted()
    using wait = startWait(`the vector store at ${address}`)
    const client = await pool.connect().catch(error => {
      wait.gaveUp()
      throw postgresError(error, address)
    })
    let failed = true
    const watch = watchStatement(client, () => new pg.Client({ ...options, query_timeout: answerMs }), wait)
    signal?.addEventListener('abort', watch.cancel, { once: true })
    try {
      const result = await work(client)
      failed = false
      return result
    } catch (error) {
      signal?.throwIfAborted()
      throw postgresError(watch.failure ?? error, address)
    } finally {
      signal?.removeEventListener('abort', watch.cancel)
      watch.end()
      // A connection in an unknown state is closed; the server then rolls back.
      client.release(failed)
    }
  }

  const transaction = <T>(
    signal: AbortSignal | undefined,
    work: (client: PoolClient) => Promise<T>,
  ): Promise<T> =>
    withClient(signal, async client => {
      await client.query('BEGIN')
      const result = await work(client)
      await client.query('COMMIT')
      return result
    })

  async function copyShard(
    client: PoolClient,
    { target, manifest, extra }: Target,
    { load, shard, rows }: ShardWrite,
  ): Promise<readonly RefusedRow[]> {
    // A job of an earlier load may be late: the target was dropped since, and loaded again. The
    // lock keeps a drop from taking the table away before the rows are committed.
    const held = await client.query(
      'SELECT FROM reembed_loads WHERE target = $1 AND load = $2 FOR KEY SHARE',
      [target, load],
    )
    if (held.rowCount === 0) throw notHeld(target, load, address)
    // The claim and the rows commit together. A concurrent writer of the shard waits here until
    // then.
    const claim = await client.query(
      "INSERT INTO reembed_load_shards VALUES ($1, $2, '[]') ON CONFLICT DO NOTHING",
      [load, shard],
    )
    if (claim.rowCount === 0) {
      const { rows } = await client.query(
        'SELECT refused FROM reembed_load_shards WHERE load = $1 AND shard = $2',
        [load, shard],
      )
      return rows[0]?.refused ?? []
    }
    const refused = await copyInto(client, quoted(target), { manifest, extra }, rows)
    if (refused.length > 0)
      await client.query('UPDATE reembed_load_shards SET refused = $3 WHERE load = $1 AND shard = $2', [
        load,
        shard,
        JSON.stringify(refused).replaceAll('\\u0000', '\\ufffd'),
      ])
    return refused
  }

  /** Copies rows into a table, and returns those that PostgreSQL cannot store. */
  async function copyInto(
    client: PoolClient,
    table: string,
    { manifest, extra }: Pick<Target, 'manifest' | 'extra'>,
    rows: ShardWrite['rows'],
  ): Promise<readonly RefusedRow[]> {
    const refused: RefusedRow[] = []
    const copy = client.query(from(`COPY ${table} FROM STDIN (FORMAT binary)`))
    const ended = new Promise<void>((resolve, reject) => {
      copy.once('finish', resolve).once('error', reject)
    })
    // Reported where it is awaited.
    ended.catch(() => {})
    const write = createCopyWriter(copy, connectionOf(client).stream, ended)
    try {
      await write(COPY_HEADER)
      for await (const batch of rows()) {
        const encoded = copyRows(batch, extra, manifest.model.dimensions)
        refused.push(...encoded.refused)
        release(batch.vectors)
        await write(encoded.bytes)
      }
    } catch (error) {
      copy.destroy(error instanceof Error ? error : undefined)
      throw error
    }
    copy.end(COPY_TRAILER)
    await ended
    return refused
  }

  /** One transaction: searches find the rows of the earlier run, then those of the later one. */
  async function updateTable(
    client: PoolClient,
    { target, manifest, extra }: Target,
    { load, shards, removed }: TargetUpdate,
  ): Promise<RefusedByShard> {
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
    const relabelled = await client.query(
      'UPDATE reembed_loads SET run = $3, shards_sha256 = $4 WHERE target = $1 AND load = $2',
      [target, load, manifest.run, manifest.shardsSha256],
    )
    if (relabelled.rowCount === 0) throw notHeld(target, load, address)
    const table = quoted(target)
    const remove = (ids: readonly string[]) =>
      client.query(`DELETE FROM ${table} WHERE id = ANY($1)`, [ids.filter(id => !id.includes('\0'))])
    await client.query(`CREATE TEMP TABLE reembed_changed (LIKE ${table}) ON COMMIT DROP`)
    const refused = new Map<number, readonly RefusedRow[]>()
    for await (const { shard, rows } of shards()) {
      const rejected = await copyInto(client, 'reembed_changed', { manifest, extra }, rows)
      if (rejected.length === 0) continue
      refused.set(shard, rejected)
      await remove(rejected.map(({ id }) => id))
    }
    for await (const ids of removed()) await remove(ids)
    const set = ['embedding', ...extra.map(({ name }) => name)].map(
      name => `${quoted(name)} = EXCLUDED.${quoted(name)}`,
    )
    await client.query(
      `INSERT INTO ${table} SELECT * FROM reembed_changed ON CONFLICT (id) DO UPDATE SET ${set.join(', ')}`,
    )
    return refused
  }

  return {
    kind: 'postgres',
    address,
    identifiers: false,
    compared: () => 'bits',
    prepare: (target, signal) => transaction(signal, client => prepare(client, target, address)),
    write: (target, write, { signal } = {}) =>
      transaction(signal, client => copyShard(client, target, write)),
    update: (target, update, { signal } = {}) =>
      transaction(signal, client => updateTable(client, target, update)),
    holds: target =>
      withClient(undefined, async client => {
        const found = await client.query('SELECT load FROM reembed_loads WHERE target = $1', [target])
        return found.rows[0]?.load
      }),
    finish: (target, { signal } = {}) =>
      transaction(signal, async client => {
        for (const sql of indexesOf(target)) await client.query(sql)
      }),
    count: target =>
      withClient(undefined, async client => {
        if ((await kindOf(client, target)) !== 'table') return undefined
        const { rows } = await client.query(`SELECT count(*) AS n FROM ${quoted(target)}`)
        return Number(rows[0]?.n)
      }),
    read: (target, ids) =>
      withClient(undefined, async client => {
        const { rows } = await client.query<{ id: string; bytes: Buffer }>(
          `SELECT id, vector_send(embedding) AS bytes FROM ${quoted(target)} WHERE id = ANY($1)`,
          [ids],
        )
        return new Map(rows.map(({ id, bytes }) => [id, receivedVector(bytes)]))
      }),
    ...createSwitch(withClient, address),
    drop: target =>
      transaction(undefined, async client => {
        await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
        const { rows } = await client.query('DELETE FROM reembed_loads WHERE target = $1 RETURNING load', [
          target,
        ])
        await client.query('DELETE FROM reembed_load_shards WHERE load = ANY($1)', [
          rows.map(({ load }) => load),
        ])
        await client.query(`DROP TABLE IF EXISTS ${quoted(target)}`).catch((error: unknown) => {
          if (codeOf(error) !== HAS_DEPENDENTS) throw error
          throw targetInUse(target, address, String((error as { readonly detail?: unknown }).detail))
        })
      }),
    async [Symbol.asyncDispose]() {
      await pool.end()
    },
  }
}

/** The options of a connection, without a limit on its statements. */
export function postgresOptions(url: string): ClientConfig {
  const kind = { keepAlive: true, application_name: 'reembed' }
  return { connectionString: url, connectionTimeoutMillis: deadlines().sink.answerMs, ...kind }
}

/** The URL without user, password and parameters. */
export function postgresAddress(url: string): string {
  const { hostname, port, pathname } = new URL(url)
  return `postgres://${hostname || 'localhost'}:${port || '5432'}${pathname}`
}

/** Creates the target and the tables of loads, in one transaction. */
async function prepare(
  client: PoolClient,
  { name, target, manifest, extra }: Target,
  address: string,
): Promise<string> {
  const { run, shardsSha256, model } = manifest
  requirePgDimensions(model.dimensions)
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
  const extension = await client.query("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
  if (extension.rowCount === 0) await client.query('CREATE EXTENSION vector')
  await client.query(TABLES)
  if ((await kindOf(client, name)) === 'table') {
    throw new ReembedError(
      'USAGE',
      `'${name}' at ${address} is a table, and searches need a view of that name: rename the table, or choose another name`,
      { option: 'name' },
    )
  }
  await requireOwnView(client, name, address)
  const found = await client.query('SELECT load, run, shards_sha256 FROM reembed_loads WHERE target = $1', [
    target,
  ])
  const exists = (await kindOf(client, target)) !== undefined
  const [known] = found.rows
  if (exists && known?.run === run && known.shards_sha256 === shardsSha256) return known.load
  if (exists) {
    throw new ReembedError(
      'USAGE',
      `'${target}' at ${address} holds ${known ? `other vectors, of run ${known.run}` : 'rows that reembed did not load'}: drop it, or choose another name`,
      { option: 'name' },
    )
  }
  await client.query(`CREATE TABLE ${quoted(target)} (${pgColumns(model.dimensions, extra).join(', ')})`)
  // A row without a table: the table was dropped by hand, and its load with it.
  await client.query('DELETE FROM reembed_load_shards WHERE load = $1', [known?.load ?? null])
  await client.query('DELETE FROM reembed_loads WHERE target = $1', [target])
  const created = await client.query(
    'INSERT INTO reembed_loads (target, load, run, shards_sha256) VALUES ($1, gen_random_uuid(), $2, $3) RETURNING load',
    [target, run, shardsSha256],
  )
  return created.rows[0].load
}

/** What a name of the search path is; undefined if it is free. */
async function kindOf(client: PoolClient, name: string): Promise<'table' | 'view' | undefined> {
  const { rows } = await client.query('SELECT relkind FROM pg_class WHERE oid = to_regclass($1)', [
    quoted(name),
  ])
  return rows[0] && (rows[0].relkind === 'v' ? 'view' : 'table')
}

/** The statements that index a target. Each is idempotent. */
function indexesOf({ target, manifest: { model } }: Target): string[] {
  const key = quoted(`${target}_id`)
  const index = pgIndexOf(model.dimensions, model.normalized)
  return [
    `SELECT pg_advisory_xact_lock(${LOCK})`,
    `CREATE UNIQUE INDEX IF NOT EXISTS ${key} ON ${quoted(target)} (id)`,
    `DO $$ BEGIN
       IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass('${quoted(target)}') AND contype = 'p')
       THEN ALTER TABLE ${quoted(target)} ADD PRIMARY KEY USING INDEX ${key}; END IF;
     END $$`,
    ...(index
      ? [
          `CREATE INDEX IF NOT EXISTS ${quoted(`${target}_embedding`)} ON ${quoted(target)} USING hnsw (${index.expression} ${index.operatorClass})`,
        ]
      : []),
    `ANALYZE ${quoted(target)}`,
  ]
}

/**
 * A vector as `vector_send` writes it: dimensions as int16, 0 as int16, float32, all big-endian.
 */
export function receivedVector(bytes: Buffer): Float32Array {
  const values = Buffer.from(bytes.subarray(4)).swap32()
  return new Float32Array(values.buffer.slice(values.byteOffset, values.byteOffset + values.length))
}
