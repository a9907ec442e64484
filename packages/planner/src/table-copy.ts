// Copies the rows of a table into the output, in blocks of JSONL:
//
//   tables/<name>-<hash>/<first row>-<hash of the rows>.jsonl
//
// Rows are in the order of their ids, and a block begins at a row whose id has a certain hash. So
// an edit changes one block; the others keep their names and are neither written nor embedded
// again. A block is put as a whole: a copy that is killed leaves blocks that the next one uses, or
// gc deletes.
//
// A source without snapshots is read until two readings in a row give the same blocks. Each row was
// then the same in both, so the copy is the state between them (Afek et al., "Atomic Snapshots of
// Shared Memory", 1993: a double collect).

import { crc32 } from 'node:zlib'
import type { TableReader, TableRow } from '@reembed/corpus'
import { blockNameOf, type DatabaseTable, type SourceObject } from '@reembed/protocol'
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
/** Of a source without snapshots. One that is edited all the time never gives the same twice. */
const READINGS = 3

interface Block {
  readonly key: string
  readonly body: Buffer
  readonly rows: number
}

/** What one reading of a table gave. */
interface Reading {
  /** Sizes of the blocks by their keys. */
  readonly sizes: ReadonlyMap<string, number>
  readonly rows: number
  readonly snapshot: string
}

/**
 * Copies all rows of one snapshot, or what `copyWithoutSnapshot` guarantees.
 * @throws ReembedError STORE_UNREACHABLE, STORE_ACCESS_DENIED; RUN_STOPPED if gc deletes a block
 * meanwhile; CORRUPT for a block that another program changed
 */
export async function copyTable(
  table: TableReader,
  output: Store,
  { paths, id, onCopied, signal }: CopyOptions,
): Promise<Corpus> {
  const { format, address, name } = table
  const store = storeBelow(output, tablePrefix(address, name))
  const present = await blocksOf(store, signal)
  const held = new Set(present.objects.keys())

  /** Reads all rows, and puts the blocks that the output lacks. */
  async function copyOnce(): Promise<Reading> {
    const sizes = new Map<string, number>()
    let snapshot = ''
    let rows = 0
    const onSnapshot = (found: string): void => {
      snapshot = found
    }
    async function* keyed(): AsyncGenerator<Block, void, undefined> {
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
      if (!held.has(key)) await store.putIfAbsent(key, body, { signal: stop })
      held.add(key)
      return count
    }
    for await (const count of mapConcurrent(keyed(), put, { concurrency: PUTS_AT_ONCE, signal })) {
      rows += count
      onCopied(rows)
    }
    return { sizes, rows, snapshot }
  }
  const { sizes, ...read } = await (table.readsSnapshot ? copyOnce() : copyWithoutSnapshot(copyOnce))

  const written = await blocksOf(store, signal)
  const objects = [...sizes]
    .map(([key, size]): SourceObject => {
      const { etag } = requireBlock(store, written.objects.get(key), { key, size })
      return { key, size, etag, format: 'jsonl' }
    })
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  return {
    store,
    table: { format, address, name, ...read },
    async *objects() {
      yield* objects
    },
    async [Symbol.asyncDispose]() {},
  }
}

/**
 * The last of two equal readings, with the time between them as its snapshot; after `READINGS`
 * the last one, with how many blocks of rows differ from the reading before. A row that was edited
 * during that one is in either state; all others are as of its beginning.
 */
async function copyWithoutSnapshot(
  copyOnce: () => Promise<Reading>,
): Promise<Reading & Pick<DatabaseTable, 'edited'>> {
  let before = await copyOnce()
  for (let readings = 2; ; readings += 1) {
    const snapshot = new Date().toISOString()
    const after = await copyOnce()
    const edited = differenceOf(before, after)
    if (edited === undefined) return { ...after, snapshot }
    if (readings === READINGS) return { ...after, snapshot, edited }
    before = after
  }
}

function differenceOf({ sizes: before }: Reading, { sizes: after }: Reading): DatabaseTable['edited'] {
  const [old, now] = [new Set(before.keys()), new Set(after.keys())]
  const blocksIn = (keys: ReadonlySet<string>): number => new Set(Array.from(keys, blockNameOf)).size
  const blocks = blocksIn(old.symmetricDifference(now))
  return blocks === 0 ? undefined : { blocks, of: blocksIn(old.union(now)) }
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
