// The contract of `Store`. The test of each implementation runs this suite.

import { randomUUID } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { codeOf } from '@reembed/shared'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkStore, raceStore } from '../src/check.ts'
import { getJson } from '../src/json.ts'
import { compareKeys } from '../src/keys.ts'
import { ObjectNotFound } from '../src/not-found.ts'
import type { ListOptions, ObjectInfo, Store } from '../src/store.ts'

export interface Conformance {
  readonly name: string
  open(): Promise<Store>
  /** Whether keys are arbitrary strings, as in S3, or file names. */
  readonly opaqueKeys: boolean
}

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (data: Uint8Array): string => Buffer.from(data).toString()

export async function keysOf(store: Store, prefix: string, options?: ListOptions): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list(prefix, options)) keys.push(key)
  return keys
}

/**
 * Keys around '/', with special characters of URLs, XML and shells, and where UTF-16 and UTF-8
 * order differ.
 */
const SPECIAL = [
  'a.txt',
  'a-b',
  'a/b',
  'a/b.c/d',
  'a/b-c',
  'a0',
  'A',
  'sp ace/pl+us',
  'per%cent%20/%2F',
  'quo"te\'<&>amp;',
  'que?ry#hash=1&x',
  'new\nline',
  'tab\t',
  'back\\slash',
  'umlaut-ä',
  'nfd-a\u0308',
  'private-\ue000',
  'last-\uffff',
  'emoji-😀',
  '~tilde*',
  'ends with space ',
  'x'.repeat(200),
]

export function storeConformance({ name, open, opaqueKeys }: Conformance): void {
  describe(`${name} implements the store contract:`, () => {
    let store: Store
    /** Each test has a prefix of its own. */
    const fresh = (): string => `${randomUUID()}/`

    beforeAll(async () => {
      store = await open()
    })
    afterAll(() => store[Symbol.asyncDispose]())

    test('get returns the bytes of a put', async () => {
      const key = `${fresh()}object`
      const body = Buffer.alloc(1_000_003, 'all kinds of bytes \0\xff', 'latin1')
      expect(await store.putIfAbsent(key, body)).toBe('created')
      expect(Buffer.compare(await store.get(key), body)).toBe(0)
      expect(await store.head(key)).toMatchObject({ key, size: body.length })
    })

    test("a put that returns 'exists' leaves the object unchanged", async () => {
      const key = `${fresh()}object`
      await store.putIfAbsent(key, bytes('first'))
      const before = await store.head(key)
      expect(await store.putIfAbsent(key, bytes('other'))).toBe('exists')
      expect(await store.putIfAbsent(key, bytes('first'))).toBe('exists')
      expect(text(await store.get(key))).toBe('first')
      expect(await store.head(key)).toEqual(before)
    })

    test('a copy has the bytes of its source, and is put only if its key is free', async () => {
      const prefix = fresh()
      const [from, to, other] = [`${prefix}from one`, `${prefix}below/to`, `${prefix}other`]
      await store.putIfAbsent(from, bytes('first'))
      await store.putIfAbsent(other, bytes('other'))
      const outcome = await store.copyIfAbsent(from, to)
      if (outcome === 'unsupported') {
        expect(await store.head(to)).toBeUndefined()
        return
      }
      expect(outcome).toBe('created')
      expect(text(await store.get(to))).toBe('first')
      expect(await store.copyIfAbsent(other, to)).toBe('exists')
      expect(text(await store.get(to))).toBe('first')
      expect(text(await store.get(other))).toBe('other')
      const missing = store.copyIfAbsent(`${prefix}missing`, `${prefix}free`)
      await expect(missing).rejects.toBeInstanceOf(ObjectNotFound)
      expect(await store.head(`${prefix}free`)).toBeUndefined()
    })

    test('exactly one of 64 concurrent puts of a key succeeds, and its bytes remain', async () => {
      const prefix = fresh()
      for (let round = 0; round < 5; round++) {
        const key = `${prefix}${round}/key`
        const outcomes = await Promise.all(
          Array.from({ length: 64 }, (_, writer) => store.putIfAbsent(key, bytes(`writer ${writer}`))),
        )
        expect(outcomes.filter(outcome => outcome === 'created')).toHaveLength(1)
        expect(text(await store.get(key))).toBe(`writer ${outcomes.indexOf('created')}`)
      }
    })

    test('an empty object exists', async () => {
      const key = `${fresh()}empty`
      expect(await store.putIfAbsent(key, new Uint8Array())).toBe('created')
      expect(await store.head(key)).toMatchObject({ size: 0 })
      expect(await store.get(key)).toHaveLength(0)
      expect(await store.get(key, { start: 0, end: 10 })).toHaveLength(0)
      expect(await store.putIfAbsent(key, bytes('more'))).toBe('exists')
    })

    test('get limits a range to the size of the object', async () => {
      const key = `${fresh()}object`
      await store.putIfAbsent(key, bytes('0123456789'))
      const range = async (start?: number, end?: number) => text(await store.get(key, { start, end }))
      expect(await range(2, 5)).toBe('234')
      expect(await range(7)).toBe('789')
      expect(await range(undefined, 3)).toBe('012')
      expect(await range(8, 1000)).toBe('89')
      expect(await range(9, 10)).toBe('9')
      expect(await range(4, 4)).toBe('')
      expect(await range(10, 20)).toBe('')
      expect(await range(11)).toBe('')
      expect(await range(0, 0)).toBe('')
    })

    test('head and getJson return undefined for a missing object, and get throws ObjectNotFound', async () => {
      const key = `${fresh()}missing`
      expect(await store.head(key)).toBeUndefined()
      expect(await getJson(store, key)).toBeUndefined()
      for (const options of [{}, { start: 3, end: 9 }, { start: 3, end: 3 }]) {
        await expect(store.get(key, options)).rejects.toMatchObject({
          code: 'CORRUPT',
          retry: 'never',
          message: expect.stringContaining('missing'),
        })
      }
    })

    test('get fails with SOURCE_CHANGED and names the object when ifMatch does not match', async () => {
      const key = `${fresh()}object`
      await store.putIfAbsent(key, bytes('content'))
      const etag = (await store.head(key))?.etag ?? ''
      expect(text(await store.get(key, { ifMatch: etag, start: 3 }))).toBe('tent')
      for (const options of [{}, { start: 1, end: 2 }, { start: 1, end: 1 }]) {
        const changed = { code: 'SOURCE_CHANGED', message: expect.stringContaining(key) }
        await expect(store.get(key, { ...options, ifMatch: `${etag}0` })).rejects.toMatchObject(changed)
        const gone = { code: 'SOURCE_CHANGED', message: expect.stringContaining(`${key}-gone`) }
        await expect(store.get(`${key}-gone`, { ...options, ifMatch: etag })).rejects.toMatchObject(gone)
      }
    })

    test('stream yields small pieces and closes when the iteration ends early', async () => {
      const key = `${fresh()}large`
      const body = Buffer.alloc(3_000_000, 'abcdefghijk')
      await store.putIfAbsent(key, body)
      const pieces: Uint8Array[] = []
      for await (const piece of store.stream(key, { start: 5 })) pieces.push(piece)
      expect(Buffer.compare(Buffer.concat(pieces), body.subarray(5))).toBe(0)
      expect(Math.max(...pieces.map(piece => piece.length))).toBeLessThanOrEqual(256 * 1024)
      // More iterations than any connection pool has connections: each must be released.
      for (let i = 0; i < 100; i++) for await (const _ of store.stream(key)) break
    })

    test('list returns special keys unchanged in UTF-8 order, with the same etags as head', async () => {
      const prefix = fresh()
      const keys = [
        ...SPECIAL,
        ...(opaqueKeys ? ['a', 'a/b/c', '...', '..up', '.hidden', 'a//b', 'a/', 'dot/.dot'] : []),
      ]
      for (const key of keys) expect(await store.putIfAbsent(prefix + key, bytes(key))).toBe('created')
      const listed: ObjectInfo[] = []
      for await (const info of store.list(prefix)) listed.push(info)
      const expected = keys.map(key => prefix + key).sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
      expect(listed.map(({ key }) => key)).toEqual(expected)
      for (const info of listed) {
        const { key, size, etag } = info
        expect(await store.head(key)).toMatchObject({ key, size, etag })
        expect(prefix + text(await store.get(info.key, { ifMatch: info.etag }))).toBe(info.key)
      }
    })

    test("no key leads out of the store: '.' and '..' between slashes are refused", async () => {
      const refused = { code: 'USAGE', message: expect.stringContaining('between its slashes must not') }
      for (const key of ['..', '../up', 'a/../b', './a', 'a/.', 'a/..']) {
        await expect(store.get(key)).rejects.toMatchObject(refused)
        await expect(store.head(key)).rejects.toMatchObject(refused)
        await expect(store.putIfAbsent(key, bytes('a'))).rejects.toMatchObject(refused)
        await expect(store.copyIfAbsent(key, 'a')).rejects.toMatchObject(refused)
        await expect(store.copyIfAbsent('a', key)).rejects.toMatchObject(refused)
      }
    })

    test('list reports the time of the write', async () => {
      const prefix = fresh()
      const before = Date.now()
      await store.putIfAbsent(`${prefix}a`, bytes('a'))
      const after = Date.now()
      for await (const { modifiedMs } of store.list(prefix)) {
        // Stores have a resolution of seconds, and a file system's clock is coarse.
        expect(modifiedMs).toBeGreaterThan(before - 2_000)
        expect(modifiedMs).toBeLessThan(after + 2_000)
      }
      expect(await keysOf(store, prefix)).toHaveLength(1)
    })

    test('list matches a prefix of the key, not a folder', async () => {
      const prefix = fresh()
      for (const key of ['a.b', 'a/b', 'a/c', 'ab', 'b']) await store.putIfAbsent(prefix + key, bytes(key))
      const list = async (start: string) =>
        (await keysOf(store, prefix + start)).map(key => key.slice(prefix.length))
      expect(await list('a')).toEqual(['a.b', 'a/b', 'a/c', 'ab'])
      expect(await list('a/')).toEqual(['a/b', 'a/c'])
      expect(await list('a/c')).toEqual(['a/c'])
      expect(await list('none')).toEqual([])
      expect(await list('b/')).toEqual([])
    })

    test('list starts after any string in startAfter, whether or not it is a key', async () => {
      const prefix = fresh()
      const keys = ['a', 'b.x', 'b/a', 'b/c/d', 'b/e', 'b0', 'c'].map(key => prefix + key)
      for (const key of keys) await store.putIfAbsent(key, bytes('x'))
      for (const after of [
        '',
        '0',
        'a',
        'b',
        'b.',
        'b/',
        'b/a',
        'b/b',
        'b/c',
        'b/c/d',
        'b/c/d/e',
        'b/z',
        'b0',
        'c',
        'd',
      ]) {
        const startAfter = prefix + after
        expect(await keysOf(store, prefix, { startAfter })).toEqual(
          keys.filter(key => compareKeys(key, startAfter) > 0),
        )
      }
      expect(await keysOf(store, `${prefix}b/`, { startAfter: `${prefix}b/a` })).toEqual(keys.slice(3, 5))
      expect(await keysOf(store, `${prefix}b/`, { startAfter: `${prefix}a` })).toEqual(keys.slice(2, 5))
    })

    test('list returns all keys of several pages and can end early', async () => {
      const prefix = fresh()
      const keys = Array.from({ length: 1_051 }, (_, i) => `${prefix}${String(i).padStart(5, '0')}`)
      for (let i = 0; i < keys.length; i += 50) {
        await Promise.all(keys.slice(i, i + 50).map(key => store.putIfAbsent(key, bytes('x'))))
      }
      expect(await keysOf(store, prefix)).toEqual(keys)
      expect(await keysOf(store, prefix, { startAfter: keys[1_010] })).toEqual(keys.slice(1_011))
      for await (const { key } of store.list(prefix)) {
        expect(key).toBe(keys[0])
        break
      }
    })

    test("every call rejects with the signal's reason, and nothing is written, when the signal is aborted", async () => {
      const key = `${fresh()}object`
      const reason = new Error('enough')
      const signal = AbortSignal.abort(reason)
      await expect(store.putIfAbsent(key, bytes('x'), { signal })).rejects.toBe(reason)
      expect(await store.head(key)).toBeUndefined()
      await store.putIfAbsent(key, bytes('x'))
      await expect(store.head(key, { signal })).rejects.toBe(reason)
      await expect(store.get(key, { signal })).rejects.toBe(reason)
      await expect(keysOf(store, '', { signal })).rejects.toBe(reason)
    })

    test('stream stops between pieces when the signal is aborted', async () => {
      const key = `${fresh()}large`
      await store.putIfAbsent(key, Buffer.alloc(8_000_000))
      const stop = new AbortController()
      const reason = new Error('enough')
      const read = async () => {
        for await (const _ of store.stream(key, { signal: stop.signal })) {
          stop.abort(reason)
          await turn()
        }
      }
      await expect(read()).rejects.toBe(reason)
    })

    test('checkStore passes repeatedly and leaves one object', async () => {
      await checkStore(store)
      await checkStore(store)
      await Promise.all(Array.from({ length: 8 }, () => checkStore(store)))
      expect(await keysOf(store, 'reembed-store-check')).toHaveLength(1)
    })

    test('raceStore passes', () => raceStore(store))

    if (!opaqueKeys) {
      test('a key that is not a valid file name is refused with USAGE', async () => {
        for (const key of ['', '..', '../up', 'a/../b', '/a', 'a/', 'a//b', '.hidden', 'a/.b/c', 'nul\0']) {
          await expect(store.putIfAbsent(key, bytes('x')), key).rejects.toSatisfy(
            error => codeOf(error) === 'USAGE',
          )
          await expect(store.head(key), key).rejects.toSatisfy(error => codeOf(error) === 'USAGE')
        }
      })
    }
  })
}
