// The shard file. Rows go in, bytes come out, one row group at a time:
//
//   PAR1 | row group 0: id, embedding, content_hash | row group 1 | ... | offset indexes | footer | length | PAR1
//          |<---- at most 16 pages of vectors ---->|                                      receipt
//   |<----------------------- bodySha256, in the receipt ----------------------------->|<- footer hash ->|
//
// Memory is one row group, whatever the size of the shard, and the vectors in it are the caller's own arrays.
// Equal rows make equal bytes. Why this is our own and not a library's: docs/decisions.md.

import { createHash } from 'node:crypto'
import { type Receipt, ReembedError } from '@reembed/shared'
import type { RowGroup, Statistics } from 'hyparquet'
import { type Output, type WrittenChunk, writeChunk, writeOffsetIndex } from './chunk.ts'
import { footerBytes, MAGIC } from './footer.ts'
import { createLevels } from './levels.ts'
import { fixedPages, pageRows, stringPages } from './pages.ts'
import { CONTENT_HASH, EMBEDDING, HASH_BYTES, ID } from './schema.ts'
import type { ShardSink } from './sink.ts'

/** Rows in their order: the vector of row i is at i x dimensions, its hash at i x 16. */
export interface ShardRows {
  readonly ids: readonly string[]
  readonly hashes: Uint8Array
  readonly vectors: Float32Array
}

/** What the writer can't know of a receipt. */
export type ReceiptFacts = Omit<Receipt, 'format' | 'rows' | 'bodySha256'>

export interface ShardWriterOptions {
  readonly dimensions: number
  readonly sink: ShardSink
  readonly rowGroupRows?: number | undefined
}

export interface ShardWriter {
  /** Rows given so far. */
  readonly rows: number
  /** Bytes given to the sink so far. */
  readonly bytes: number
  /**
   * Adds rows. Keeps the arrays until their row group is written: they must not change after this.
   * Does not look into the vectors: a vector gets here only through the checks of the endpoint's reply.
   */
  append(rows: ShardRows): void
  /** Writes what is left and the footer. The receipt it returns is the one in the file. */
  finish(facts: ReceiptFacts): Receipt
}

/** 16 pages of vectors, and never so many rows that ids of short vectors outweigh them. */
const GROUP_PAGES = 16
const GROUP_ROWS = 2 ** 16

export function createShardWriter({
  dimensions,
  sink,
  rowGroupRows = Math.min(GROUP_PAGES * pageRows(4 * dimensions), GROUP_ROWS),
}: ShardWriterOptions): ShardWriter {
  const body = createHash('sha256')
  const groups: RowGroup[] = []
  const chunks: WrittenChunk[] = []
  const levels = createLevels(dimensions)
  let rows = 0
  let offset = 0
  let held: ShardRows[] = []
  let heldRows = 0

  const output: Output = {
    get offset() {
      return offset
    },
    write(bytes) {
      body.update(bytes)
      sink(bytes)
      offset += bytes.length
    },
  }
  output.write(MAGIC)

  function append({ ids, hashes, vectors }: ShardRows): void {
    if (vectors.length !== ids.length * dimensions || hashes.length !== ids.length * HASH_BYTES) {
      throw new ReembedError(
        'INTERNAL',
        `${ids.length} ids came with ${vectors.length} values of ${dimensions} dimensions and ${hashes.length} bytes of hashes`,
      )
    }
    const broken = ids.findIndex(id => !id.isWellFormed())
    if (broken !== -1) {
      throw new ReembedError(
        'INTERNAL',
        `the id ${JSON.stringify(ids[broken])} is not Unicode: it would be read back as another`,
      )
    }
    rows += ids.length
    for (let from = 0; from < ids.length; ) {
      const to = Math.min(ids.length, from + rowGroupRows - heldRows)
      held.push({
        ids: ids.slice(from, to),
        hashes: hashes.subarray(from * HASH_BYTES, to * HASH_BYTES),
        vectors: vectors.subarray(from * dimensions, to * dimensions),
      })
      heldRows += to - from
      from = to
      if (heldRows === rowGroupRows) flush()
    }
  }

  function flush(): void {
    if (heldRows === 0) return
    const start = offset
    const statistics: Statistics = { null_count: 0n }
    const written = [
      writeChunk(
        output,
        { ...ID, statistics },
        stringPages(
          held.flatMap(({ ids }) => ids),
          statistics,
        ),
      ),
      writeChunk(
        output,
        EMBEDDING,
        fixedPages(
          held.map(({ vectors }) => bytesOf(vectors)),
          { rowBytes: 4 * dimensions, valuesPerRow: dimensions, levels },
        ),
      ),
      writeChunk(
        output,
        CONTENT_HASH,
        fixedPages(
          held.map(({ hashes }) => hashes),
          { rowBytes: HASH_BYTES },
        ),
      ),
    ]
    chunks.push(...written)
    groups.push({
      columns: written.map(({ chunk }) => chunk),
      total_byte_size: BigInt(written.reduce((sum, { rawBytes }) => sum + rawBytes, 0)),
      num_rows: BigInt(heldRows),
      file_offset: BigInt(start),
      total_compressed_size: BigInt(offset - start),
    })
    held = []
    heldRows = 0
  }

  return {
    get rows() {
      return rows
    },
    get bytes() {
      return offset
    },
    append,
    finish(facts) {
      flush()
      for (const chunk of chunks) writeOffsetIndex(output, chunk)
      const receipt: Receipt = { format: 1, ...facts, rows, bodySha256: body.digest('hex') }
      if (receipt.documents !== rows + receipt.rejects.length || receipt.model.dimensions !== dimensions) {
        throw new ReembedError(
          'INTERNAL',
          `the receipt of shard ${receipt.shard} speaks of ${receipt.documents} documents in ${receipt.model.dimensions} dimensions; the file has ${rows} rows in ${dimensions} and ${receipt.rejects.length} rejects`,
        )
      }
      const footer = footerBytes(receipt, groups)
      sink(footer)
      offset += footer.length
      return receipt
    },
  }
}

/** Parquet is little-endian, as is every machine that runs Node. */
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)
