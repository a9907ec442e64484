// hyparquet, the reader of browsers, on our files: a filter reads the row groups that can match.

import { zstdDecompressSync } from 'node:zlib'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'
import { expect, test } from 'vitest'
import { createShardWriter } from '../src/index.ts'

const GROUPS = 8
const ROWS_PER_GROUP = 100
const DIMENSIONS = 16
const idOf = (row: number): string => `doc-${String(row).padStart(4, '0')}`

function shardBytes(): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = []
  const writer = createShardWriter({
    dimensions: DIMENSIONS,
    sink: bytes => pieces.push(bytes.slice()),
    rowGroupRows: ROWS_PER_GROUP,
  })
  const rows = GROUPS * ROWS_PER_GROUP
  const vectors = new Float32Array(rows * DIMENSIONS)
  for (let row = 0; row < rows; row++) vectors[row * DIMENSIONS + (row % DIMENSIONS)] = 1
  writer.append({
    ids: Array.from({ length: rows }, (_, row) => idOf(row)),
    hashes: new Uint8Array(16 * rows),
    vectors,
  })
  writer.finish({
    run: 'abcdefghijklmnopqrstuvwxyz',
    shard: 0,
    shards: 1,
    spaceId: 'space',
    recipeId: 'recipe',
    model: { id: 'model', revision: 'r', dimensions: DIMENSIONS, pooling: 'mean', normalized: true },
    source: [{ key: 'corpus.jsonl', etag: 'e', start: 0, end: 1, lines: rows }],
    documents: rows,
    rejects: [],
    tokens: rows,
    truncated: 0,
    repaired: 0,
  })
  return new Uint8Array(Buffer.concat(pieces))
}

test('hyparquet reads one row group of eight for an id, and none for an id that none can hold', async () => {
  const bytes = shardBytes()
  const metadata = parquetMetadata(bytes.buffer)
  expect(metadata.row_groups).toHaveLength(GROUPS)
  const ends = metadata.row_groups.map(({ columns }) =>
    Math.max(
      ...columns.map(({ meta_data }) =>
        Number(
          (meta_data?.dictionary_page_offset ?? meta_data?.data_page_offset ?? 0n) +
            (meta_data?.total_compressed_size ?? 0n),
        ),
      ),
    ),
  )
  async function find(id: string) {
    const groups = new Set<number>()
    const file = {
      byteLength: bytes.length,
      slice(start: number, end = bytes.length) {
        groups.add(ends.findIndex(groupEnd => start < groupEnd))
        return bytes.buffer.slice(start, end)
      },
    }
    const compressors = { ZSTD: (input: Uint8Array) => zstdDecompressSync(input) }
    const rows = await parquetReadObjects({ file, metadata, compressors, filter: { id: { $eq: id } } })
    return { ids: rows.map(row => row.id), groups: [...groups] }
  }
  expect(await find(idOf(450))).toEqual({ ids: [idOf(450)], groups: [4] })
  expect(await find('doc-9999')).toEqual({ ids: [], groups: [] })
})
