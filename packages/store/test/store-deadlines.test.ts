// A half-dead S3: every call ends within the time of one call, however it fails.

import { type WaitNotice, withDeadlines } from '@reembed/shared'
import { type LinkFault, type S3Server, startFaultyLink, startS3Server } from '@reembed/testing'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openDeleter } from '../src/delete.ts'
import { openStore } from '../src/open.ts'
import type { Store } from '../src/store.ts'

let server: S3Server
beforeAll(async () => {
  server = await startS3Server()
  const clean = { AWS_EC2_METADATA_DISABLED: 'true', AWS_CONFIG_FILE: '/nonexistent' }
  for (const [name, value] of Object.entries({ ...server.env, ...clean })) vi.stubEnv(name, value)
  await using store = await openStore('s3://test/out', { unsafe: true })
  await store.putIfAbsent('a', Buffer.alloc(100_000, 'a'))
  await store.putIfAbsent('big', BIG)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await server[Symbol.asyncDispose]()
})

const BIG = Buffer.alloc(3_000_000, 'abc')
const TIMEOUT_MS = 900
/** Opens with short limits: a reply within 300 ms, a call within 900 ms, a report after 150 ms. */
const short = <T>(use: () => Promise<T>, onWait?: (notice: WaitNotice) => void): Promise<T> =>
  withDeadlines({ timeoutMs: TIMEOUT_MS, onWait }, use)
/** Longer limits, in which a busy machine makes a new connection too: a reply within 1.2 s. */
const longer = <T>(use: () => Promise<T>): Promise<T> => withDeadlines({ timeoutMs: 4 * TIMEOUT_MS }, use)

const linkTo = (fault?: LinkFault) =>
  startFaultyLink({
    target: Number(new URL(server.endpoint).port),
    dripMs: 20,
    ...(fault && { fault }),
  })
const open = (port: number): Promise<Store> =>
  openStore('s3://test/out', { unsafe: true, s3: { endpoint: `http://127.0.0.1:${port}` } })

const CALLS: Record<string, (store: Store) => Promise<unknown>> = {
  get: store => store.get('a'),
  head: store => store.head('a'),
  list: store => Array.fromAsync(store.list('')),
  put: store => store.putIfAbsent('b', Buffer.from('x')),
  copy: store => store.copyIfAbsent('a', 'c'),
}
const FAULTS: LinkFault[] = ['silent', 'drips', 'stops', 'nonsense', 'endless']

test('every call to an S3 that answers in none of the right ways ends within its time, as unreachable', async () => {
  const cells = FAULTS.flatMap(fault => Object.keys(CALLS).map(call => [fault, call] as const))
  const ended = await short(() =>
    Promise.all(
      cells.map(async ([fault, call]) => {
        await using link = await linkTo(fault)
        await using store = await open(link.port)
        const startedMs = performance.now()
        const error: unknown = await CALLS[call]?.(store).catch((thrown: unknown) => thrown)
        const { code, message } = Object(error) as { code?: string; message?: string }
        const isNamed = message?.includes(`127.0.0.1:${link.port}`) === true
        const isInTime = performance.now() - startedMs < 2 * TIMEOUT_MS
        return { fault, call, code, isNamed, isInTime }
      }),
    ),
  )
  expect(ended).toEqual(
    cells.map(([fault, call]) => ({
      fault,
      call,
      code: 'STORE_UNREACHABLE',
      isNamed: true,
      isInTime: true,
    })),
  )
})

test('a body that stalls in the middle continues where it stopped', async () => {
  await using link = await linkTo()
  await longer(async () => {
    await using store = await open(link.port)
    const pieces: Uint8Array[] = []
    for await (const piece of store.stream('big')) {
      if (pieces.length === 0) {
        link.fault = 'silent'
        setTimeout(() => {
          link.fault = undefined
        }, 1_500)
      }
      pieces.push(piece)
    }
    expect(Buffer.compare(Buffer.concat(pieces), BIG)).toBe(0)
  })
})

test('the time that a reader takes for a piece is no wait for the store', async () => {
  await short(async () => {
    await using store = await openStore('s3://test/out', { unsafe: true })
    let bytes = 0
    const before = server.requests.length
    for await (const piece of store.stream('big')) {
      if (bytes === 0) await new Promise(resolve => setTimeout(resolve, 400))
      bytes += piece.length
    }
    expect([bytes, server.requests.length - before]).toEqual([BIG.length, 1])
  })
})

test('a reader that takes longer than a call for a piece gets the rest over a new connection', async () => {
  await short(async () => {
    await using store = await openStore('s3://test/out', { unsafe: true })
    const pieces: Uint8Array[] = []
    const before = server.requests.length
    for await (const piece of store.stream('big')) {
      // Longer than the timeout of the idle socket, too.
      if (pieces.length === 0) await new Promise(resolve => setTimeout(resolve, TIMEOUT_MS + 100))
      pieces.push(piece)
    }
    expect(Buffer.compare(Buffer.concat(pieces), BIG)).toBe(0)
    expect(server.requests.length - before).toBe(2)
  })
})

test('a wait for the store is reported while it lasts, with its address', async () => {
  await using link = await linkTo('silent')
  const notices: WaitNotice[] = []
  await short(
    async () => {
      await using store = await open(link.port)
      await expect(store.head('a')).rejects.toThrow('does not answer s3:GetObject')
    },
    notice => notices.push(notice),
  )
  expect(notices[0]).toMatchObject({ dependency: `S3 at http://127.0.0.1:${link.port}`, state: 'silent' })
})

test('a deletion ends within its time', async () => {
  await using link = await linkTo('silent')
  await short(async () => {
    const s3 = { endpoint: `http://127.0.0.1:${link.port}` }
    await using deleter = await openDeleter('s3://test/out', { s3 })
    await expect(deleter.delete('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  })
})
