// Checks that every id of a run is unique. Reads only the id columns, in memory that does not grow
// with the corpus: each id is hashed to 64 bits. Equal hashes are compared as ids in a second pass,
// so a hash collision is never reported as a duplicate. The key of the hash covers every shard: ids
// that collide under it cannot be prepared, since each changed id changes it. They would fill the
// bounded list of repeated hashes and hide duplicates. The run id would not do: of a folder it
// depends on the sizes and times of files, which can be known before their content. All parts of a
// verification have the same key.

import { basename } from 'node:path'
import type { Plan, Receipt } from '@reembed/protocol'
import { readIdHashes, readIds, readReceipt } from '@reembed/shard'
import { createIdHash, type IdHash, mapConcurrent, ReembedError, shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { openBuckets, wordsOf } from './buckets.ts'
import { ofPart, type Part, WHOLE } from './part.ts'

const SHARDS_AT_ONCE = 8
const SHOWN = 3
/** Of a run with 10^10 rows about three hashes collide by chance. */
const HASHES_KEPT = 10 * SHOWN

/** @throws ReembedError DUPLICATE_ID naming the first few ids and two rows of each. */
export async function requireUniqueIds(
  store: Store,
  plan: Plan,
  { rows, shardsSha256 }: ComparedShards,
  options: UniqueIdOptions = {},
): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const hash = createIdHash(`${shardsSha256} ${attempt}`)
    // Another key assigns ids to other parts, so a further attempt compares all of them.
    const scope = attempt === 0 ? options : { ...options, part: WHOLE }
    const expected = rows / (scope.part ?? WHOLE).of
    const repeated = await duplicateHashes(shardHashes(store, plan, hash, scope), expected)
    if (repeated.size > 0) await reportDuplicates(store, plan, { repeated, hash }, scope)
    // A full list of collisions may leave out a duplicate.
    if (repeated.size < HASHES_KEPT) return
  }
}

/** The rows of a run, and the SHA-256 over the key and the file hash of every shard, in order. */
export interface ComparedShards {
  readonly rows: number
  readonly shardsSha256: string
}

export interface UniqueIdOptions {
  /** The size of each shard, where known. */
  readonly present?: Uint32Array | undefined
  /** Compares only the ids of this part of all hashes. */
  readonly part?: Part | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Hashes that more than one id has, at most 30 of them. Hashes beyond memory are sorted in files.
 * @param expected about the number of hashes
 */
export async function duplicateHashes(
  shards: AsyncIterable<{ readonly hashes: BigUint64Array }>,
  expected: number,
): Promise<Set<bigint>> {
  const buckets = await openBuckets(expected)
  const repeated = new Set<bigint>()
  try {
    for await (const { hashes } of shards) await buckets.add(hashes)
    for await (const hashes of buckets.sorted()) {
      const words = wordsOf(hashes)
      for (let i = 2; i < words.length && repeated.size < HASHES_KEPT; i += 2) {
        if (words[i] !== words[i - 2] || words[i + 1] !== words[i - 1]) continue
        repeated.add(hashes[i / 2] ?? 0n)
      }
    }
  } finally {
    await buckets.close()
  }
  return repeated
}

async function reportDuplicates(
  store: Store,
  plan: Plan,
  { repeated, hash }: { readonly repeated: ReadonlySet<bigint>; readonly hash: IdHash },
  options: UniqueIdOptions,
): Promise<void> {
  const places = new Map<string, { readonly key: string; readonly row: number }[]>()
  for await (const { hashes, key, size } of shardHashes(store, plan, hash, options)) {
    if (!hashes.some(one => repeated.has(one))) continue
    for (const [row, id] of (await readIds(store, key, { size, signal: options.signal })).entries()) {
      if (!repeated.has(hash.of(id))) continue
      const seen = places.get(id)
      if (seen) seen.push({ key, row })
      else places.set(id, [{ key, row }])
    }
  }
  const twice = [...places].filter(([, seen]) => seen.length > 1)
  if (twice.length === 0) return
  const shown: string[] = []
  for (const [id, seen] of twice.slice(0, SHOWN)) {
    const both = await Promise.all(seen.slice(0, 2).map(place => describe(store, place)))
    shown.push(`${JSON.stringify(id)} (${both.join(' and ')})`)
  }
  const more = twice.length > SHOWN ? ' and more' : ''
  throw new ReembedError(
    'DUPLICATE_ID',
    `duplicate ids: ${shown.join(', ')}${more}. Nothing was published: make the ids unique, or choose another id field`,
    { option: 'fields.id' },
  )
}

/**
 * Names the object and the row. Rows of a shard are in source order, so its receipt shows which
 * object a row is from.
 */
async function describe(
  store: Store,
  { key, row }: { readonly key: string; readonly row: number },
): Promise<string> {
  return `${objectOf((await readReceipt(store, key)).receipt, row)}, row ${row + 1} of ${basename(key)}`
}

function objectOf({ source, rejects, rows }: Receipt, row: number): string {
  const names = source.map(({ key }) => JSON.stringify(key))
  const rowsOf = source.map(
    ({ lines }, part) => lines - rejects.filter(({ position }) => position.part === part).length,
  )
  // Blank lines and headers count as lines, and a document may have several rows: then the counts
  // do not identify the object.
  if (rowsOf.reduce((sum, one) => sum + one, 0) !== rows) {
    return names.length > 2 ? `${names[0]} to ${names.at(-1)}` : names.join(' or ')
  }
  let part = 0
  for (let left = row; left >= (rowsOf[part] ?? 0) && part < names.length; part += 1)
    left -= rowsOf[part] ?? 0
  return names[part] ?? ''
}

/** The hashes of the ids of each shard, those of the part alone. */
async function* shardHashes(
  store: Store,
  plan: Plan,
  hash: IdHash,
  { present, part = WHOLE, signal }: UniqueIdOptions,
) {
  function* shards(): Generator<number, void, undefined> {
    for (let shard = 0; shard < plan.shards; shard += 1) yield shard
  }
  async function hashesOf(shard: number, stop: AbortSignal) {
    const key = shardKey(plan.run, shard, plan.shards)
    const size = present?.[shard]
    const hashes = await readIdHashes(store, key, hash, { size, signal: stop })
    return { key, size, hashes: ofPart(hashes, part) }
  }
  yield* mapConcurrent(shards(), hashesOf, { concurrency: SHARDS_AT_ONCE, signal })
}
