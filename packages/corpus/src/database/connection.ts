// A connection to the database of a source: within its deadlines, in a transaction that reads one
// snapshot, with errors that name the source.

import {
  codeOf,
  deadlines,
  importClient,
  messageOf,
  openFilesReason,
  ReembedError,
  startWait,
} from '@reembed/shared'
import type { Client, ClientConfig } from 'pg'

const NETWORK = /^E[A-Z_]+$/
const SQLSTATE = /^[0-9A-Z]{5}$/
const DENIED = /^(28...|42501)$/
/**
 * Connection lost, resources lacking, cancelled, shut down, conflict with the recovery of a
 * standby.
 */
const TRANSIENT = /^(08...|40001|53...|55P03|57...)$/
const MISSING = /^(3D000|42P01)$/

/**
 * Settings of one transaction, whatever those of the role are: values in one exact form, and no
 * limit that is meant for short queries (pg_dump does the same). Without `row_security = off`, a
 * policy would leave rows out in silence.
 */
const SETTINGS = (lockMs: number): string => `SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO';
  SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL extra_float_digits = 3; SET LOCAL row_security = off;
  SET LOCAL lock_timeout = ${Math.ceil(lockMs)};
  SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN
    ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')`

/**
 * The process that serves a transaction. The process id of the protocol is not it: a pooler
 * invents that one.
 */
interface Backend {
  readonly pid: number
  readonly address: string | null
  readonly port: number | null
  /** Start of the server, and of the transaction. */
  readonly started: string
  readonly began: string
}

const BACKEND = `SELECT txid_current_snapshot()::text AS snapshot, pg_backend_pid() AS pid,
  inet_server_addr()::text AS address, inet_server_port() AS port,
  pg_postmaster_start_time()::text AS started, now()::text AS began`

/**
 * One row if the process of a transaction has ended. A second connection may reach another server
 * behind a pooler or an endpoint of replicas, which knows nothing about that process.
 */
const HAS_ENDED = `SELECT 1
  WHERE inet_server_addr()::text IS NOT DISTINCT FROM $2::text
    AND inet_server_port() IS NOT DISTINCT FROM $3::int
    AND (pg_postmaster_start_time() > $5::timestamptz OR pg_postmaster_start_time() = $4::timestamptz
      AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1::int))`

/** A single connection may be refused or lost although the server works. */
const MAX_LOST_PROBES = 2

/** What reads a table: a client inside of its transaction. */
export interface SnapshotReader {
  readonly client: Client
  /** The snapshot as PostgreSQL writes it: oldest running transaction, next one, running ones. */
  readonly snapshot: string
}

/** Runs `work` in one transaction of one snapshot, on a connection of its own. */
export async function* inSnapshot<T>(
  url: string,
  address: string,
  work: (reader: SnapshotReader) => AsyncGenerator<T, void, undefined>,
  signal?: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  signal?.throwIfAborted()
  const { default: pg } = await importPackage(() => import('pg'))
  const { answerMs } = deadlines().sink
  const create = (limits: ClientConfig = {}): Client => {
    const client = clientOf(address, () => {
      const options = { connectionTimeoutMillis: answerMs, keepAlive: true, application_name: 'reembed' }
      return new pg.Client({ connectionString: url, ...options, ...limits })
    })
    // The loss of a connection is reported by the statement; without a listener it ends the
    // process.
    client.on('error', () => {})
    return client
  }
  using wait = startWait(`the database at ${address}`)
  const client = create()
  let watch: ReturnType<typeof watchSilence> | undefined
  const abort = (): void => destroy(client, new Error('aborted'))
  try {
    await client.connect()
    watch = watchSilence(client, () => create({ query_timeout: answerMs }))
    signal?.addEventListener('abort', abort, { once: true })
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await client.query(SETTINGS(answerMs))
    const { rows } = await client.query<Backend & { snapshot: string }>(BACKEND)
    const [backend] = rows
    watch.backend = backend
    wait.answered()
    yield* work({ client, snapshot: backend?.snapshot ?? '' })
  } catch (error) {
    signal?.throwIfAborted()
    wait.gaveUp()
    throw sourceError(watch?.failure ?? error, address)
  } finally {
    signal?.removeEventListener('abort', abort)
    watch?.end()
    // A reader that stops early leaves a COPY in progress, whose end would have to be read first.
    destroy(client, new Error('closed'))
    await client.end().catch(() => {})
  }
}

/** Imports a package of the client. @throws ReembedError USAGE that names what to install */
export const importPackage = <T>(load: () => Promise<T>): Promise<T> =>
  importClient('pg pg-copy-streams', load, { of: 'PostgreSQL', option: 'source' })

/** @throws ReembedError USAGE for a parameter of the URL that the client refuses */
function clientOf(address: string, create: () => Client): Client {
  try {
    return create()
  } catch (cause) {
    throw new ReembedError(
      'USAGE',
      `the parameters of the URL of ${address} cannot be used: ${messageOf(cause)}; correct them`,
      { option: 'source', cause },
    )
  }
}

type Connected = Client & {
  readonly connection: {
    readonly stream: { readonly bytesRead: number; destroy(error: Error): void }
  }
}

function destroy(client: Client, error: Error): void {
  const { connection } = client as unknown as Connected
  connection.stream.destroy(error)
}

/**
 * Closes the connection of a server that ended. One that sorts for an hour and one that ended
 * both send nothing, so a second connection asks whether the first one is still served.
 */
function watchSilence(client: Client, create: () => Client) {
  const { connection } = client as unknown as Connected
  let backend: Backend | undefined
  let failure: unknown
  let isOver = false
  let isAsking = false
  let lost = 0
  let bytesRead = -1
  const close = (error: unknown): void => {
    if (isOver) return
    failure ??= error
    destroy(client, error instanceof Error ? error : new Error(String(error)))
  }
  async function hasEnded(): Promise<boolean> {
    const other = create()
    try {
      await other.connect()
      const { pid, address, port, started, began }: Partial<Backend> = backend ?? {}
      const { rowCount } = await other.query(HAS_ENDED, [pid, address, port, started, began])
      other.end().catch(() => {})
      return rowCount !== 0
    } catch (error) {
      // A silent server would never confirm the end.
      destroy(other, new Error('closed'))
      throw error
    }
  }
  async function ask(): Promise<void> {
    try {
      if (await hasEnded()) close(new Error('the connection is closed on the server'))
      lost = 0
    } catch (error) {
      // A refusal is a reply, for example that all connections are in use.
      lost = SQLSTATE.test(codeOf(error) ?? '') ? 0 : lost + 1
      if (lost >= MAX_LOST_PROBES) close(error)
    }
  }
  const timer = setInterval(async () => {
    const isSilent = connection.stream.bytesRead === bytesRead
    bytesRead = connection.stream.bytesRead
    if (!isSilent) lost = 0
    if (!isSilent || isAsking) return
    isAsking = true
    await ask()
    isAsking = false
  }, deadlines().sink.probeMs)
  timer.unref()
  return {
    get failure() {
      return failure
    },
    /** Until it is known, a second connection proves only that the server replies. */
    set backend(value: Backend | undefined) {
      backend = value
    },
    end(): void {
      isOver = true
      clearInterval(timer)
    },
  }
}

/** The failure of a connection or a statement that reads the source; any other error unchanged. */
function sourceError(cause: unknown, address: string): unknown {
  if (cause instanceof ReembedError) return cause
  const openFiles = openFilesReason(cause)
  if (openFiles) return new ReembedError('STORE_ACCESS_DENIED', `cannot connect to ${address}: ${openFiles}`)
  const code = codeOf(cause) ?? ''
  const message = messageOf(cause)
  const options = { option: 'source', cause }
  if (/row-level security/.test(message)) {
    return new ReembedError(
      'STORE_ACCESS_DENIED',
      `${address} would leave rows out: ${message}; read a view of the rows that are meant, or use a role with BYPASSRLS`,
      options,
    )
  }
  if (DENIED.test(code)) {
    return new ReembedError(
      'STORE_ACCESS_DENIED',
      `${address} denies access: ${message}; check user, password and the right to SELECT`,
      options,
    )
  }
  if (MISSING.test(code))
    return new ReembedError('SOURCE_NOT_FOUND', `${address}: ${message}; check the name`, options)
  if (TRANSIENT.test(code) || NETWORK.test(code) || /timeout|terminated|closed/i.test(message)) {
    return new ReembedError(
      'STORE_UNREACHABLE',
      `the database at ${address} did not deliver the rows (${NETWORK.test(code) ? code : message}): check that it runs, and repeat the command`,
      options,
    )
  }
  if (!SQLSTATE.test(code)) return cause
  return new ReembedError('USAGE', `${address} refuses to read the table: ${message}`, options)
}
