// A private Redis for one machine: in memory, on a loopback port. It ends with its parent process,
// even if the parent is killed.
//
//   parent --stdin pipe--> sh --starts--> redis-server
//
// The shell reads the pipe. The kernel closes the pipe when the parent exits, crashes or is killed
// with SIGKILL, and the shell then stops Redis. Redis saves nothing, so no file remains.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { messageOf, ReembedError } from '@reembed/shared'
import { letGo } from './child.ts'
import { freePort } from './port.ts'

export interface LocalRedis extends AsyncDisposable {
  /** For example `redis://:…@127.0.0.1:40123`. Holds the password. */
  readonly url: string
  /** The process id of the Redis server. */
  readonly pid: number
}

export interface StartRedisOptions {
  /** Default: any free port. */
  readonly port?: number | undefined
  /** Letters and digits, for clients that know the URL of a Redis that ended. Default: random. */
  readonly password?: string | undefined
  /** Aborts the start. A started server is stopped by disposing it. */
  readonly signal?: AbortSignal | undefined
}

const START_MS = 15_000
const STOP_MS = 5_000

/**
 * Starts the `redis-server` or `valkey-server` on PATH and resolves when it answers PING.
 * @throws ReembedError REDIS_UNREACHABLE if neither is installed, or none starts within 15 s
 * @throws the signal's reason
 * @example
 * ```ts
 * import { startRedis } from '@reembed/local'
 *
 * await using redis = await startRedis()
 * console.log(new URL(redis.url).host) // 127.0.0.1:40123
 * ```
 */
export async function startRedis({
  signal,
  port,
  password = randomBytes(24).toString('hex'),
}: StartRedisOptions = {}): Promise<LocalRedis> {
  if (!/^[A-Za-z0-9]+$/.test(password))
    throw new ReembedError('USAGE', 'the password of a private Redis must have letters and digits alone')
  const program = await findProgram(['redis-server', 'valkey-server'])
  // Race: another process may take the port between freePort() and the bind. Redis then exits, and
  // the next attempt uses another port.
  for (let attempt = 1; ; attempt++) {
    const redis = launch(program, port ?? (await freePort()), password)
    const limit = AbortSignal.any([AbortSignal.timeout(START_MS), ...(signal ? [signal] : [])])
    try {
      await redis.ready(limit)
      return redis
    } catch (error) {
      await redis[Symbol.asyncDispose]()
      signal?.throwIfAborted()
      if (attempt === 3 || limit.aborted) {
        const detail = redis.lastLog() || messageOf(error)
        throw new ReembedError('REDIS_UNREACHABLE', `${program} did not start: ${detail}`, { cause: error })
      }
    }
  }
}

/**
 * Exits when Redis exits, and stops Redis at the end of its own stdin. A shell redirects the stdin
 * of background commands to /dev/null, so descriptor 3 passes the pipe on to `cat`.
 */
const SUPERVISOR_SCRIPT = `
  exec 3<&0
  "$@" 3<&- >&2 <<SETTINGS & redis=$!
requirepass $PASSWORD
SETTINGS
  unset PASSWORD
  echo $redis
  { cat <&3 >/dev/null; kill -KILL $redis; } 2>/dev/null &
  wait $redis
`

function launch(program: string, port: number, password: string) {
  // Other users of the machine can reach the port, but not the environment of this process. A
  // command line would show the password to them.
  const settings = `- --bind 127.0.0.1 --port ${port} --appendonly no --maxmemory-policy noeviction`
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
    'sh',
    ['-c', SUPERVISOR_SCRIPT, 'sh', program, ...settings.split(' '), '--save', ''],
    // A separate session: Ctrl-C in the terminal must reach only the command, which needs Redis to
    // drain.
    {
      cwd: tmpdir(),
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PASSWORD: password },
    },
  )
  const exited = once(child, 'exit').finally(() => child.stdin.destroy())
  let pid = 0
  let log = ''
  const named = once(child.stdout, 'data').then(([line]) => {
    pid = Number(line)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-2_000)
  })
  // EPIPE: the shell may exit before its stdin is closed.
  child.stdin.on('error', () => {})

  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    get pid() {
      return pid
    },
    lastLog: () => log.trimEnd().split('\n').at(-1) ?? '',

    /** Waits for the log line of a successful bind, so that no other server can answer the PING. */
    async ready(limit: AbortSignal): Promise<void> {
      const listening = new Promise<void>(resolve => {
        child.stderr.on('data', () => {
          if (/ready to accept connections/i.test(log)) resolve()
        })
      })
      const ended = exited.then(() => Promise.reject(new Error('it exited during the start')))
      ended.catch(() => {})
      await Promise.race([Promise.all([named, listening]), ended, aborted(limit)])
      await ping(port, password, limit)
      letGo(child)
    },

    async [Symbol.asyncDispose](): Promise<void> {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
      child.ref()
      child.stdin.end()
      const timer = setTimeout(() => pid > 0 && process.kill(pid, 'SIGKILL'), STOP_MS)
      await exited
      clearTimeout(timer)
    },
  }
}

/** Sends AUTH and PING in RESP. https://redis.io/docs/latest/develop/reference/protocol-spec/ */
async function ping(port: number, password: string, signal: AbortSignal): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    const sent = async (command: string, expected: string): Promise<void> => {
      socket.write(`${command}\r\n`)
      const [reply] = await once(socket, 'data', { signal })
      if (!String(reply).startsWith(expected)) throw new Error(`Redis answered ${String(reply).trim()}`)
    }
    await sent(`AUTH ${password}`, '+OK')
    await sent('PING', '+PONG')
  } finally {
    socket.destroy()
  }
}

async function findProgram(names: readonly string[]): Promise<string> {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name)
      const found = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
      if (folder !== '' && found) return path
    }
  }
  throw new ReembedError(
    'REDIS_UNREACHABLE',
    'no redis-server or valkey-server on PATH: install Redis (apt-get install redis-server), or use the URL of a running one',
    { option: 'redis' },
  )
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
