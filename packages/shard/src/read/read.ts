// Reads shards: a receipt, the ids, the hashes, or all rows by row group. Each function reads only
// the ranges that it needs and holds at most one row group.

import { createHash } from 'node:crypto'
import type { CarriedValue, Receipt } from '@reembed/protocol'
import { type IdHash, mapConcurrent, messageOf, release } from '@reembed/shared'
import type { Store } from '@reembed/store'
import {
  asBuffer,
  type ByteRange,
  corruptShard,
  type ReadShardOptions,
  type RowGroupLayout,
  readFooter,
  type ShardFooter,
} from './footer.ts'
import { decodeFlat, decodeHashes, decodeStrings, decodeVectors, eachString } from './pages.ts'

/** Rows in order. The vector of row i begins at `i * dimensions`, its content hash at `i * 16`. */
export interface ShardBatch {
  readonly ids: readonly string[]
  readonly hashes: Uint8Array
  readonly vectors: Float32Array
  /** The extra columns by name; empty without the option `extra`. */
  readonly extra: ReadonlyMap<string, readonly CarriedValue[]>
}

export interface ShardReceipt extends Pick<ShardFooter, 'receipt' | 'footerStart' | 'size' | 'sha256'> {}

/**
 * Reads the receipt of a shard from its last 64 KiB; a longer one takes a second read. @throws
 * ReembedError CORRUPT
 */
export async function readReceipt(
  store: Store,
  key: string,
  options?: ReadShardOptions,
): Promise<ShardReceipt> {
  const { receipt, footerStart, size, sha256 } = await readFooter(store, key, options)
  return { receipt, footerStart, size, sha256 }
}

/**
 * Reads all ids of a shard in row order. Reads only the footer and the id column. @throws
 * ReembedError CORRUPT
 */
export async function readIds(store: Store, key: string, options?: ReadShardOptions): Promise<string[]> {
  const footer = await readFooter(store, key, options)
  const ids: string[] = []
  for await (const { index, rows, chunk } of idChunks(store, key, footer, options?.signal)) {
    for (const value of decode(footer, index, () => decodeStrings(chunk, rows))) ids.push(value)
  }
  return ids
}

/**
 * Reads the hash of each id of a shard in row order, of the bytes of the id column: no string is
 * made of an id. @throws ReembedError CORRUPT
 */
export async function readIdHashes(
  store: Store,
  key: string,
  hash: IdHash,
  options?: ReadShardOptions,
): Promise<BigUint64Array> {
  const footer = await readFooter(store, key, options)
  const rows = rowsOf(footer)
  let hashes = new BigUint64Array(Math.min(rows, FIRST_HASHES))
  let words = new Uint32Array(hashes.buffer)
  let row = 0
  for await (const { index, rows: ofGroup, chunk } of idChunks(store, key, footer, options?.signal)) {
    decode(footer, index, () =>
      eachString(chunk, ofGroup, (bytes, start, end) => {
        if (row === hashes.length) {
          const more = new BigUint64Array(Math.min(rows, 2 * row))
          more.set(hashes)
          hashes = more
          words = new Uint32Array(hashes.buffer)
        }
        hash.write(bytes, start, end, words, row++)
      }),
    )
  }
  return hashes
}

/** The rows that a footer states are not verified: beyond these, memory grows with the ids read. */
const FIRST_HASHES = 2 ** 12

/** The rows of all row groups. @throws ReembedError CORRUPT if they are not those of the receipt */
function rowsOf({ name, rowGroups, receipt }: ShardFooter): number {
  let sum = 0
  for (const [index, { rows }] of rowGroups.entries()) {
    if (!(Number.isSafeInteger(rows) && rows >= 0))
      throw corruptShard(name, `was changed after it was written: row group ${index} claims ${rows} rows`)
    sum += rows
  }
  if (sum !== receipt.rows)
    throw corruptShard(name, `has ${sum} rows, but its receipt states ${receipt.rows}`)
  return sum
}

/** A large shard has an id column in each of its row groups: a request for each. */
const ID_CHUNKS_AT_ONCE = 4

/** The bytes of the id column of each row group, in order. */
const idChunks = (store: Store, key: string, footer: ShardFooter, signal: AbortSignal | undefined) =>
  mapConcurrent(
    footer.rowGroups.entries(),
    async ([index, { id, rows }], stop) => ({
      index,
      rows,
      chunk: await readByteRange(store, key, footer, id, stop),
    }),
    { concurrency: ID_CHUNKS_AT_ONCE, signal },
  )

/**
 * Reads the content hashes of a shard in row order, 16 bytes each. Reads only their column. @throws
 * ReembedError CORRUPT
 */
export async function readHashes(
  store: Store,
  key: string,
  footer: ShardFooter,
  signal?: AbortSignal,
): Promise<Buffer> {
  const hashes: Buffer[] = []
  for (const [index, { contentHash, rows }] of footer.rowGroups.entries()) {
    const chunk = await readByteRange(store, key, footer, contentHash, signal)
    hashes.push(asBuffer(decode(footer, index, () => decodeHashes(chunk, rows))))
  }
  return Buffer.concat(hashes)
}

/** What the vectors of a shard are read and verified with. */
export interface BodyLayout extends Pick<ShardFooter, 'name' | 'footerStart' | 'dtype' | 'rowGroups'> {
  readonly receipt: Pick<Receipt, 'bodySha256'>
}

/**
 * Yields the bytes of each row group, which are valid until the next one is asked for. The rows are
 * verified only when the generator has ended.
 * @throws ReembedError CORRUPT, at the end, if the body does not match the hash in the receipt
 */
export async function* readRowGroups(
  store: Store,
  key: string,
  footer: BodyLayout,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly group: RowGroupLayout; readonly bytes: Buffer }, void, undefined> {
  const { rowGroups, footerStart, receipt, name } = footer
  const body = createHash('sha256')
  let at = 0
  for (const [index, group] of rowGroups.entries()) {
    // What follows the last row group is small: it needs no request of its own.
    const end = index === rowGroups.length - 1 ? footerStart : group.end
    const bytes = await readByteRange(store, key, footer, { start: at, end }, signal)
    body.update(bytes)
    yield { group, bytes: bytes.subarray(group.start - at, group.end - at) }
    release(bytes)
    at = end
  }
  if (at < footerStart)
    body.update(await readByteRange(store, key, footer, { start: at, end: footerStart }, signal))
  if (body.digest('hex') !== receipt.bodySha256) {
    throw corruptShard(
      name,
      'was changed after it was written: its body does not match the hash in its receipt',
    )
  }
}

export interface ReadRowsOptions extends ReadShardOptions {
  /** Whether to read the columns after id, vector and content hash as well. Default: false. */
  readonly extra?: boolean | undefined
  /**
   * Only the row groups that have one of these rows, in ascending order. Without effect beside
   * `bodySha256`, which needs all of them.
   */
  readonly rows?: readonly number[] | undefined
  /**
   * The hash of the body in the manifest. With it every byte is read and compared; the rows are
   * verified only when the generator has ended.
   */
  readonly bodySha256?: string | undefined
}

/**
 * Yields the rows of a shard, one row group (about 4 MiB of vectors) at a time. @throws
 * ReembedError CORRUPT
 */
export async function* readShard(
  store: Store,
  key: string,
  { extra = false, rows, bodySha256, ...options }: ReadRowsOptions = {},
): AsyncGenerator<ShardBatch, void, undefined> {
  const footer = await readFooter(store, key, options)
  if (bodySha256 !== undefined) {
    if (footer.receipt.bodySha256 !== bodySha256)
      throw corruptShard(footer.name, 'is not the shard of the manifest: the hashes of their bodies differ')
    let index = 0
    for await (const { group, bytes } of readRowGroups(store, key, footer, options.signal)) {
      yield decode(footer, index, () => decodeRowGroup(bytes, footer, group, extra))
      index += 1
    }
    return
  }
  let [end, next] = [0, 0]
  for (const [index, group] of footer.rowGroups.entries()) {
    end += group.rows
    if (rows) {
      if ((rows[next] ?? end) >= end) continue
      while ((rows[next] ?? end) < end) next += 1
    }
    const span = { start: group.start, end: extra ? group.end : group.contentHash.end }
    const bytes = await readByteRange(store, key, footer, span, options.signal)
    yield decode(footer, index, () => decodeRowGroup(bytes, footer, group, extra))
  }
}

/**
 * Decodes the rows of one row group from the bytes of its range. @throws Error for damaged bytes
 */
export function decodeRowGroup(
  bytes: Buffer,
  footer: Pick<ShardFooter, 'receipt' | 'dtype' | 'extra'>,
  group: RowGroupLayout,
  extra: boolean,
): ShardBatch {
  const column = ({ start, end }: ByteRange): Buffer => bytes.subarray(start - group.start, end - group.start)
  const { dtype } = footer
  const { dimensions } = footer.receipt.model
  return {
    ids: decodeStrings(column(group.id), group.rows),
    hashes: decodeHashes(column(group.contentHash), group.rows),
    vectors: decodeVectors(column(group.embedding), group.rows, { dimensions, dtype }),
    extra: new Map(
      !extra
        ? []
        : footer.extra.map((flat, index): [string, CarriedValue[]] => [
            flat.name,
            decodeFlat(column(group.extra[index] ?? group.id), group.rows, flat),
          ]),
    ),
  }
}

/** Reads exactly these bytes of the shard. @throws ReembedError CORRUPT if the shard ends before */
export async function readByteRange(
  store: Store,
  key: string,
  { name }: Pick<ShardFooter, 'name'>,
  { start, end }: ByteRange,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const bytes = asBuffer(await store.get(key, { start, end, signal }))
  if (bytes.length !== end - start)
    throw corruptShard(name, `ended at byte ${start + bytes.length} while it was read`)
  return bytes
}

function decode<T>({ name }: ShardFooter, group: number, decoder: () => T): T {
  try {
    return decoder()
  } catch (cause) {
    throw corruptShard(
      name,
      `was changed after it was written: row group ${group} ${messageOf(cause)}`,
      cause,
    )
  }
}
