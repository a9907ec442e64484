// Copies the rows of a table into the output, in blocks of JSONL:
//
//   tables/<name>-<hash>/<first row>-<hash of the rows>.jsonl
//
// Rows are in the order of their ids, and a block begins at a row whose id has a certain hash. So
// an edit changes one block; the others keep their names and are neither written nor embedded
// again. A block is put as a whole: a copy that is killed leaves blocks that the next one uses, or
// gc deletes.

import { crc32 } from 'node:zlib'
import type { PostgresTable, TableRow } from '@reembed/corpus'
import type { SourceObject } from '@reembed/protocol'
import { DELETED_BLOCK, mapConcurrent, ReembedError, sha256, tablePrefix } from '@reembed/shared'
import { type ObjectInfo, type Store, storeBelow } from '@reembed/store'
import type { CopyOptions, Corpus } from './corpus.ts'

/** One row in so many begins a block. A constant: with another one, all blocks would differ. */
const ROWS_OF_BLOCK = 2_048
/** From this size on, one row in so many begins a block, ... */
const LARGE_BLOCK_BYTES = 8 * 2 ** 20
const ROWS_OF_LARGE_BLOCK = 64
/** ... and at this size the next row does. */
const MAX_BLOCK_BYTES = 32 * 2 ** 20
const PUTS_AT_ONCE = 2

interface Block {
  readonly key: string
  readonly body: Buffer
  readonly rows: number
}

/**
 * Copies all rows of one snapshot.
 * @throws ReembedError STORE_UNREACHABLE, STORE_ACCESS_DENIED; RUN_STOPPED if gc deletes a block
 * meanwhile; CORRUPT for a block that another program changed
 */
export async function copyTable(
  table: PostgresTable,
  output: Store,
  { paths, id, onCopied, signal }: CopyOptions,
): Promise<Corpus> {
  const { address, name } = table
  const store = storeBelow(output, tablePrefix(address, name))
  const present = await blocksOf(store, signal)
  const sizes = new Map<string, number>()
  let snapshot = ''
  let rows = 0
  const onSnapshot = (found: string): void => {
    snapshot = found
  }

  async function* named(): AsyncGenerator<Block, void, undefined> {
    const read = table.rows(paths, { key: id, onSnapshot, signal })
    for await (const { first, body, rows: count } of cutBlocks(read)) {
      const stem = `${sha256(first).slice(0, 16)}-${sha256(body).slice(0, 32)}`
      // Equal blocks hold equal ids, which finalizing the run reports.
      let key = `${stem}.jsonl`
      for (let n = 1; sizes.has(key) || present.deleted.has(key); n += 1) key = `${stem}-${n}.jsonl`
      sizes.set(key, body.length)
      yield { key, body, rows: count }
    }
  }
  const put = async ({ key, body, rows: count }: Block, stop: AbortSignal): Promise<number> => {
    if (!present.objects.has(key)) await store.putIfAbsent(key, body, { signal: stop })
    return count
  }
  for await (const count of mapConcurrent(named(), put, { concurrency: PUTS_AT_ONCE, signal })) {
    rows += count
    onCopied(rows)
  }

  const written = await blocksOf(store, signal)
  const objects = [...sizes]
    .map(([key, size]): SourceObject => {
      const { etag } = requireBlock(store, written.objects.get(key), { key, size })
      return { key, size, etag, format: 'jsonl' }
    })
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  return {
    store,
    table: { format: 'postgres', address, name, rows, snapshot },
    async *objects() {
      yield* objects
    },
    async [Symbol.asyncDispose]() {},
  }
}

function requireBlock(
  store: Store,
  found: ObjectInfo | undefined,
  { key, size }: Pick<ObjectInfo, 'key' | 'size'>,
): ObjectInfo {
  if (found?.size === size) return found
  throw found === undefined
    ? new ReembedError(
        'RUN_STOPPED',
        `gc deleted ${key} in ${store.url} while the table was copied: repeat the command`,
      )
    : new ReembedError(
        'CORRUPT',
        `${key} in ${store.url} has ${found.size} bytes instead of ${size}: delete it, and repeat the command`,
      )
}

export interface Blocks {
  readonly objects: ReadonlyMap<string, ObjectInfo>
  /** Keys of blocks that gc deletes or has deleted. */
  readonly deleted: ReadonlySet<string>
}

/** The blocks in the folder of a table, and those whose names are not used again. */
export async function blocksOf(store: Store, signal?: AbortSignal): Promise<Blocks> {
  const objects = new Map<string, ObjectInfo>()
  const deleted = new Set<string>()
  for await (const object of store.list('', { signal })) {
    if (object.key.endsWith(DELETED_BLOCK)) deleted.add(object.key.slice(0, -DELETED_BLOCK.length))
    else objects.set(object.key, object)
  }
  return { objects, deleted }
}

async function* cutBlocks(
  batches: AsyncIterable<readonly TableRow[]>,
): AsyncGenerator<{ first: Buffer; body: Buffer; rows: number }, void, undefined> {
  let lines: Buffer[] = []
  let bytes = 0
  // Not the id of the first row: a row in front of it would give the block another name.
  let first: Buffer = FIRST
  const block = () => ({ first, body: Buffer.concat(lines, bytes), rows: lines.length / 2 })
  for await (const rows of batches) {
    for (const { key, json } of rows) {
      if (bytes > 0 && beginsBlock(key, bytes)) {
        yield block()
        lines = []
        bytes = 0
        first = key
      }
      lines.push(json, LINE_BREAK)
      bytes += json.length + 1
    }
  }
  if (bytes > 0) yield block()
}

const LINE_BREAK = Buffer.from('\n')
const FIRST = Buffer.from('first')

function beginsBlock(key: Buffer, bytes: number): boolean {
  const hash = crc32(key)
  if (hash % ROWS_OF_BLOCK === 0 || bytes >= MAX_BLOCK_BYTES) return true
  return bytes >= LARGE_BLOCK_BYTES && hash % ROWS_OF_LARGE_BLOCK === 0
}
