// Checks that a store implements put-if-absent. All correctness of concurrent writers depends on
// it, so callers check a store before the first write.

import { randomUUID } from 'node:crypto'
import { access, constants } from 'node:fs/promises'

import { ReembedError } from '@reembed/shared'
import { folderError } from './folder-path.ts'
import type { Store } from './store.ts'

/**
 * The key of the check's object. It is fixed, so repeated checks leave one small object and never
 * delete.
 */
export const STORE_CHECK_KEY = 'reembed-store-check.json'

const PUTTERS = 16
const ROUNDS = 4

/**
 * Checks that a second put of a key is refused and leaves the object unchanged.
 * @throws ReembedError STORE_UNSAFE for a store that overwrites
 */
export async function checkStore(
  store: Store,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  // Random bytes in each put, so that an overwrite differs from the object of this or an earlier
  // check.
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
 * Checks that this process may put objects, so that no vectors are paid for and then refused. Costs
 * one put of a fixed key in S3, and nothing in a folder.
 * @throws ReembedError STORE_ACCESS_DENIED, or as `putIfAbsent`
 */
export async function requireWritable(
  store: Store,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  if (store.url.includes('://')) {
    await store.putIfAbsent(STORE_CHECK_KEY, Buffer.from('{}\n'), { signal })
    return
  }
  await access(store.url, constants.W_OK).catch((error: unknown) => {
    throw folderError(error, 'write', store.url)
  })
}

/**
 * Checks that exactly one of several concurrent puts of a key succeeds. Detects stores that check
 * for the key and put in two steps. Each call leaves a few small objects under
 * 'reembed-store-check/', so call it for an explicit diagnosis, not before each run.
 * @throws ReembedError STORE_UNSAFE for a store whose conditional writes are not atomic
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
