// Every write relies on put-if-absent, so a store must prove it before the first one.

import { randomUUID } from 'node:crypto'

import { ReembedError } from '@reembed/shared'
import type { Store } from './store.ts'

/** One fixed key: repeated checks leave one small object behind, and need no right to delete. */
export const STORE_CHECK_KEY = 'reembed-store-check.json'

const PUTTERS = 16
const ROUNDS = 4

/** Puts the same key twice; the second must be refused and change nothing. Fails with STORE_UNSAFE. */
export async function checkStore(
  store: Store,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  // Other bytes each time: a store that takes them, or an earlier check's, can't be mistaken for one that refused.
  const probe = (): Uint8Array => Buffer.from(`{"check":"${randomUUID()}"}\n`)
  await store.putIfAbsent(STORE_CHECK_KEY, probe(), { signal })
  const before = await store.get(STORE_CHECK_KEY, { signal })
  const second = await store.putIfAbsent(STORE_CHECK_KEY, probe(), { signal })
  const after = await store.get(STORE_CHECK_KEY, { signal })
  if (second === 'exists' && Buffer.compare(before, after) === 0) return
  throw new ReembedError(
    'STORE_UNSAFE',
    `${store.url} ignores If-None-Match, so two workers could overwrite each other's shards: use a store with conditional writes, or allow an unsafe store with a single worker`,
    { option: 'unsafe' },
  )
}

/**
 * Lets many put the same key at once; exactly one must win. Finds stores that look before they put, but not in one
 * step. Each call leaves a few small objects under 'reembed-store-check/', so it is for a person to ask for.
 */
export async function raceStore(
  store: Store,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const key = `reembed-store-check/${randomUUID()}.json`
    const outcomes = await Promise.all(
      Array.from({ length: PUTTERS }, (_, putter) =>
        store.putIfAbsent(key, Buffer.from(`${putter}\n`), { signal }),
      ),
    )
    const winners = outcomes.filter(outcome => outcome === 'created').length
    if (winners === 1) continue
    throw new ReembedError(
      'STORE_UNSAFE',
      `${store.url} let ${winners} of ${PUTTERS} concurrent writers put one key, so workers could overwrite each other's shards; use a store whose conditional writes are atomic, or allow an unsafe store with a single worker`,
      { option: 'unsafe' },
    )
  }
}
