// Reads values of Redis that another program may have written: lengths first, then the values that
// are as short as those of reembed. The limit of a reply (reply-limit.ts) holds for what changes
// between the two.

import { LIMITS, messageOf } from '@reembed/shared'
import type { Redis } from 'ioredis'

/** Bytes of the values that one command requests. */
const PAGE_BYTES = 1024 * 1024

/** Reads fields of a hash. Null for a field that is missing or has more than `maxBytes`. */
export async function readFields(
  redis: Redis,
  key: string,
  names: readonly string[],
  maxBytes: number = LIMITS.redisFieldBytes,
): Promise<(string | null)[]> {
  const lengths = await orIfOtherType(
    Promise.all(names.map(name => redis.hstrlen(key, name))),
    names.map(() => 0),
  )
  const short = names.filter((_, i) => isShort(lengths[i], maxBytes))
  if (short.length === 0) return names.map(() => null)
  const values = await redis.hmget(key, ...short)
  const found = new Map(short.map((name, i) => [name, values[i] ?? null]))
  return names.map(name => found.get(name) ?? null)
}

export interface HashBounds {
  /** Fields that are read. */
  readonly fields: number
  /** Bytes of a value; a longer one is left out. */
  readonly valueBytes: number
}

/**
 * Reads the fields of a hash within bounds, and at most `LIMITS.redisHashBytes` of all values.
 * Without fields if the key has another type.
 */
export async function readHash(
  redis: Redis,
  key: string,
  { fields, valueBytes }: HashBounds,
): Promise<Map<string, string>> {
  const drawn = await orIfOtherType(redis.hrandfield(key, fields), [])
  const names = (drawn as string[]).filter(name => name.length <= LIMITS.redisFieldBytes)
  const lengths = await Promise.all(names.map(name => redis.hstrlen(key, name)))
  const found = new Map<string, string>()
  let page: string[] = []
  let [pageBytes, allBytes] = [0, 0]
  const flush = async (): Promise<void> => {
    if (page.length === 0) return
    const values = await redis.hmget(key, ...page)
    for (const [i, name] of page.entries()) if (values[i] != null) found.set(name, values[i])
    page = []
    pageBytes = 0
  }
  for (const [i, name] of names.entries()) {
    const length = lengths[i] ?? 0
    if (!isShort(length, valueBytes)) continue
    allBytes += length
    if (allBytes > LIMITS.redisHashBytes) break
    page.push(name)
    pageBytes += length
    if (pageBytes > PAGE_BYTES) await flush()
  }
  await flush()
  return found
}

/** The first bytes of a string, enough to compare it with a token. '' if there is none. */
export const readToken = (redis: Redis, key: string): Promise<string> => redis.getrange(key, 0, TOKEN_BYTES)

/** More than a UUID, or BullMQ's token of a lock, has. */
const TOKEN_BYTES = 127

const isShort = (length: number | undefined, maxBytes: number): boolean =>
  length !== undefined && length > 0 && length <= maxBytes

/** Another program wrote a value of another type: no field is known, and Redis answers. */
const orIfOtherType = <T>(read: Promise<T>, other: T): Promise<T> =>
  read.catch((error: unknown) => {
    if (/^WRONGTYPE/.test(messageOf(error))) return other
    throw error
  })
