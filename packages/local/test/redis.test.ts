import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { ReembedError } from '@reembed/shared'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { freePort } from '../src/port.ts'
import { startRedis } from '../src/redis.ts'
import { ended } from './processes.ts'

vi.mock('../src/port.ts', { spy: true })
beforeEach(() => vi.clearAllMocks())

const PARENT = `
  import { startRedis } from '@reembed/local'
  const { pid, url } = await startRedis()
  console.log(JSON.stringify({ pid, url }))
  setInterval(() => {}, 1000)
`

describe('startRedis', () => {
  it('starts a Redis that answers, never evicts, ends when disposed, and leaves no file', async () => {
    const before = await readdir(tmpdir())
    const redis = await startRedis()
    expect(redis.url).toMatch(/^redis:\/\/:[0-9a-f]{48}@127\.0\.0\.1:\d+$/)
    expect(await command(redis.url, 'CONFIG GET maxmemory-policy')).toContain('noeviction')
    expect(await command(redis.url, 'CONFIG GET save')).toContain('$0')
    expect(await command(redis.url, 'INFO server')).toContain(`process_id:${redis.pid}`)

    await redis[Symbol.asyncDispose]()
    await ended(redis.pid)
    await redis[Symbol.asyncDispose]()
    await expect(command(redis.url, 'PING')).rejects.toThrow('ECONNREFUSED')
    expect(
      (await readdir(tmpdir())).filter(name => !before.includes(name) && /rdb|aof|redis/.test(name)),
    ).toEqual([])
  })

  it('refuses clients without its password, which no command line shows', async () => {
    await using redis = await startRedis()
    const { password, port } = new URL(redis.url)
    expect(await command(`redis://127.0.0.1:${port}`, 'PING')).toMatch(/^-NOAUTH/)
    const lines = spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout
    expect(lines).toContain(port)
    expect(lines).not.toContain(password)
    await expect(startRedis({ password: 'two words' })).rejects.toThrow(/letters and digits/)
  })

  it('starts a separate Redis for each caller', async () => {
    await using one = await startRedis()
    await using two = await startRedis()
    expect(one.url).not.toBe(two.url)
    await command(one.url, 'SET whose one')
    expect(await command(two.url, 'GET whose')).toBe('$-1\r\n')
  })

  it('ends Redis when the parent process is killed with SIGKILL', async () => {
    const parent = spawn(
      process.execPath,
      ['--conditions=@reembed/source', '--input-type=module', '--eval', PARENT],
      { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = await once(createInterface(parent.stdout), 'line')
    const { pid, url } = JSON.parse(String(line)) as { pid: number; url: string }
    expect(await command(url, 'PING')).toBe('+PONG\r\n')

    parent.kill('SIGKILL')
    await ended(pid)
  })

  it('uses another port when a process takes the chosen port before Redis binds it', async () => {
    const unrelated = createServer().listen(0, '127.0.0.1')
    await once(unrelated, 'listening')
    vi.mocked(freePort).mockResolvedValueOnce((unrelated.address() as AddressInfo).port)
    await using redis = await startRedis()
    expect(await command(redis.url, 'PING')).toBe('+PONG\r\n')
    expect(freePort).toHaveBeenCalledTimes(2)
    unrelated.close()
  })

  it('rejects with the install command when no Redis is installed', async () => {
    vi.stubEnv('PATH', '')
    const failure = await startRedis().catch((error: unknown) => error)
    vi.unstubAllEnvs()
    expect(failure).toBeInstanceOf(ReembedError)
    expect(failure).toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringContaining('apt-get install redis-server'),
    })
  })

  it('stops Redis when the signal aborts the start', async () => {
    await expect(startRedis({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
  })
})

/** Sends a command, after the password of the URL if it has one. */
async function command(url: string, line: string): Promise<string> {
  const { port, password } = new URL(url)
  const socket = connect({ host: '127.0.0.1', port: Number(port) })
  try {
    const sent = async (text: string): Promise<string> => {
      socket.write(`${text}\r\n`)
      return String((await once(socket, 'data'))[0])
    }
    if (password !== '') expect(await sent(`AUTH ${password}`)).toBe('+OK\r\n')
    return await sent(line)
  } finally {
    socket.destroy()
  }
}
