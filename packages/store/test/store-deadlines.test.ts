// A half-dead S3: every call ends within the time of one call, however it fails.

import { type WaitNotice, withDeadlines } from '@reembed/shared'
import {
  type FaultyLink,
  type LinkFault,
  type S3Server,
  startFaultyLink,
  startS3Server,
} from '@reembed/testing'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { openDeleter } from '../src/delete.ts'
import { openStore } from '../src/open.ts'
import type { Store } from '../src/store.ts'

let server: S3Server
let link: FaultyLink
beforeAll(async () => {
  server = await startS3Server()
  link = await startFaultyLink({ target: Number(new URL(server.endpoint).port), dripMs: 20 })
  const clean = { AWS_EC2_METADATA_DISABLED: 'true', AWS_CONFIG_FILE: '/nonexistent' }
  for (const [name, value] of Object.entries({ ...server.env, ...clean })) vi.stubEnv(name, value)
  vi.stubEnv('AWS_ENDPOINT_URL_S3', `http://127.0.0.1:${link.port}`)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await link[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})
afterEach(() => {
  link.fault = undefined
})

const TIMEOUT_MS = 900
/** Opens with short limits: a reply within 300 ms, a call within 900 ms, a report after 150 ms. */
const short = <T>(use: () => Promise<T>, onWait?: (notice: WaitNotice) => void): Promise<T> =>
  withDeadlines({ timeoutMs: TIMEOUT_MS, onWait }, use)
const open = (): Promise<Store> => openStore('s3://test/out', { unsafe: true })

const CALLS: Record<string, (store: Store) => Promise<unknown>> = {
  get: store => store.get('a'),
  head: store => store.head('a'),
  list: store => Array.fromAsync(store.list('')),
  put: store => store.putIfAbsent('b', Buffer.from('x')),
  copy: store => store.copyIfAbsent('a', 'c'),
}
const FAULTS: LinkFault[] = ['silent', 'drips', 'stops', 'nonsense', 'endless']

test.for(FAULTS.flatMap(fault => Object.keys(CALLS).map(call => [fault, call] as const)))(
  'an S3 that is %s ends a %s within its time, as unreachable',
  async ([fault, call]) => {
    await short(async () => {
      await using store = await open()
      await store.putIfAbsent('a', Buffer.alloc(100_000, 'a'))
      link.fault = fault
      const startedMs = performance.now()
      await expect(CALLS[call]?.(store)).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
        message: expect.stringContaining(`127.0.0.1:${link.port}`),
      })
      expect(performance.now() - startedMs).toBeLessThan(2 * TIMEOUT_MS)
    })
  },
)

test('a body that stalls in the middle continues where it stopped', async () => {
  await short(async () => {
    await using store = await open()
    const body = Buffer.alloc(3_000_000, 'abc')
    await store.putIfAbsent('big', body)
    const pieces: Uint8Array[] = []
    for await (const piece of store.stream('big')) {
      if (pieces.length === 0) {
        link.fault = 'silent'
        setTimeout(() => {
          link.fault = undefined
        }, 400)
      }
      pieces.push(piece)
    }
    expect(Buffer.compare(Buffer.concat(pieces), body)).toBe(0)
  })
})

test('the time that a reader takes for a piece is no wait for the store', async () => {
  await short(async () => {
    await using store = await open()
    const body = Buffer.alloc(2_000_000, 'abc')
    await store.putIfAbsent('slow', body)
    let bytes = 0
    const before = server.requests.length
    for await (const piece of store.stream('slow')) {
      if (bytes === 0) await new Promise(resolve => setTimeout(resolve, 400))
      bytes += piece.length
    }
    expect([bytes, server.requests.length - before]).toEqual([body.length, 1])
  })
})

test('a wait for the store is reported while it lasts, with its address', async () => {
  const notices: WaitNotice[] = []
  await short(
    async () => {
      await using store = await open()
      link.fault = 'silent'
      await expect(store.head('a')).rejects.toThrow('does not answer s3:GetObject')
    },
    notice => notices.push(notice),
  )
  const [first] = notices
  expect(first).toMatchObject({ dependency: `S3 at http://127.0.0.1:${link.port}`, state: 'silent' })
  expect(first?.ms).toBeLessThan(TIMEOUT_MS / 2)
})

test('a deletion ends within its time', async () => {
  await short(async () => {
    await using deleter = await openDeleter('s3://test/out')
    link.fault = 'silent'
    await expect(deleter.delete('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  })
})
