// Writes a shard: a Parquet file with a receipt in its footer. Hashes cover every byte, so any
// change is detected.
//
//   PAR1 | row groups | offset indexes | footer: schema, row groups, receipt | length | PAR1
//   |<-- bodySha256, in the receipt -->|<------------ footer hash ---------->|

import { createHash } from 'node:crypto'
import { assertReceiptReadable, type CarriedValue, type Dtype, type Receipt } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { FlatColumn } from '../parquet/columns.ts'
import { columnMismatch } from '../parquet/flat.ts'
import type { ByteSink } from '../parquet/shard-buffer.ts'
import { createParquetWriter } from '../parquet/writer.ts'
import { HASH_BYTES, vectorColumns } from '../read/columns.ts'
import { footerKeyValues, writeFooterHash } from './footer.ts'

/** Rows in order. The vector of row i begins at `i * dimensions`, its content hash at `i * 16`. */
export interface ShardRows {
  readonly ids: readonly string[]
  readonly hashes: Uint8Array
  readonly vectors: Float32Array
  /** The values of the extra columns: one array for each column. */
  readonly extra?: readonly (readonly CarriedValue[])[]
  /** Called when all the rows are written and the caller may change the arrays. */
  readonly onWritten?: (() => void) | undefined
}

/** The fields of a receipt that the writer does not know. */
export type ReceiptFields = Omit<Receipt, 'format' | 'rows' | 'bodySha256'>

export interface ShardWriterOptions {
  readonly dimensions: number
  readonly sink: ByteSink
  readonly dtype?: Dtype | undefined
  /** Columns after id, vector and content hash. */
  readonly extra?: readonly FlatColumn[] | undefined
  /** Base64 of an Arrow schema, for the `ARROW:schema` key. */
  readonly arrowSchema?: string | undefined
  readonly rowGroupRows?: number | undefined
}

export interface ShardWriter {
  /** Rows appended so far. */
  readonly rows: number
  /** Bytes passed to the sink so far. */
  readonly bytes: number
  /**
   * Appends rows. The writer holds the arrays until their row group is written: the caller must not
   * change them before `onWritten` is called. Vectors are not checked here: the endpoint client
   * checks every reply.
   * @throws ReembedError INTERNAL for arrays of the wrong length, or values that their column
   * cannot hold
   */
  append(rows: ShardRows): void
  /** Writes the remaining rows and the footer. Returns the receipt that is in the file. */
  finish(fields: ReceiptFields): WrittenShard
}

export interface WrittenShard {
  readonly receipt: Receipt
  /**
   * SHA-256 (hex) of the footer. It covers the whole file because the footer contains the hash of
   * the body.
   */
  readonly sha256: string
}

export function createShardWriter({
  dimensions,
  sink,
  dtype = 'float32',
  extra = [],
  arrowSchema,
  rowGroupRows,
}: ShardWriterOptions): ShardWriter {
  const body = createHash('sha256')
  let inBody = true
  const writer = createParquetWriter({
    columns: [...vectorColumns(dimensions, dtype), ...extra],
    rowGroupRows,
    sink: bytes => {
      if (inBody) body.update(bytes)
      sink(bytes)
    },
  })

  return {
    get rows() {
      return writer.rows
    },
    get bytes() {
      return writer.bytes
    },
    append(rows) {
      requireMatchingColumns(rows, dimensions, extra)
      const { ids, hashes, vectors, extra: values = [], onWritten } = rows
      const stored = dtype === 'float16' ? new Uint16Array(new Float16Array(vectors).buffer) : vectors
      writer.append(ids.length, [ids, stored, hashes, ...values], onWritten)
    },
    finish(fields) {
      writer.endBody()
      inBody = false
      const receipt: Receipt = { format: 1, ...fields, rows: writer.rows, bodySha256: body.digest('hex') }
      if (
        receipt.documents !== receipt.rows + receipt.rejects.length ||
        receipt.model.dimensions !== dimensions
      ) {
        throw new ReembedError(
          'INTERNAL',
          `the receipt of shard ${receipt.shard} has ${receipt.documents} documents in ${receipt.model.dimensions} dimensions; the file has ${receipt.rows} rows in ${dimensions} and ${receipt.rejects.length} rejects`,
        )
      }
      let sha256 = ''
      assertReceiptReadable(receipt)
      writer.finish(footerKeyValues(receipt, { dtype, arrowSchema }), footer => {
        sha256 = writeFooterHash(footer)
      })
      return { receipt, sha256 }
    },
  }
}

/**
 * @throws ReembedError INTERNAL for arrays of the wrong length and for values that their column
 * cannot hold
 */
function requireMatchingColumns(
  { ids, hashes, vectors, extra: values = [] }: ShardRows,
  dimensions: number,
  extra: readonly FlatColumn[],
): void {
  if (vectors.length !== ids.length * dimensions || hashes.length !== ids.length * HASH_BYTES) {
    throw new ReembedError(
      'INTERNAL',
      `${ids.length} ids need ${ids.length * dimensions} vector values and ${ids.length * HASH_BYTES} bytes of hashes, got ${vectors.length} and ${hashes.length}`,
    )
  }
  const broken = ids.findIndex(id => !id.isWellFormed())
  if (broken !== -1) {
    throw new ReembedError(
      'INTERNAL',
      `the id ${JSON.stringify(ids[broken])} contains an unpaired surrogate, which UTF-8 cannot store`,
    )
  }
  for (const [index, column] of extra.entries()) {
    for (let row = 0; row < ids.length; row++) {
      const misfit = columnMismatch(column, values[index]?.[row])
      if (misfit) {
        throw new ReembedError(
          'INTERNAL',
          `the value of ${column.name} (${column.type}) of ${JSON.stringify(ids[row])} ${misfit}`,
        )
      }
    }
  }
}
