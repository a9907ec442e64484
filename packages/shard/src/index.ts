// The public surface of @reembed/shard; every other file is private to the package.

export type { KeyValue } from 'hyparquet'
export {
  type EmbeddingBatch,
  parseRunUrl,
  type ReadEmbeddingsOptions,
  readCurrentManifest,
  readEmbeddings,
  requireManifest,
} from './embeddings.ts'
export {
  type ArrowWriter,
  type ArrowWriterOptions,
  arrowSchemaOf,
  createArrowWriter,
} from './parquet/arrow.ts'
export type {
  FixedColumn,
  FlatColumn,
  ParquetColumn,
  VectorColumn,
  VectorElement,
} from './parquet/columns.ts'
export { columnMismatch as misfitOf } from './parquet/flat.ts'
export {
  type ByteSink as ShardSink,
  createShardBuffer,
  createShardBufferPool as createShardBuffers,
  type ShardBuffer,
  type ShardBufferPool as ShardBuffers,
} from './parquet/sink.ts'
export {
  type ColumnValues,
  createParquetWriter,
  type ParquetWriter,
  type ParquetWriterOptions,
} from './parquet/writer.ts'
export { type Quantization, type Ranges, rangesOf, requireWholeBytes, toInt8, toUbinary } from './quantize.ts'
export { type CheckedShard, checkShard, type ShardExpectations } from './read/check.ts'
export {
  contentHashOf,
  encodeHashes as bytesOfHashes,
  extraColumns,
  extraValues,
  HASH_BYTES,
  vectorColumns,
} from './read/columns.ts'
export { type ReadShardOptions, readFooter, undefinedIfCorrupt as unlessCorrupt } from './read/footer.ts'
export { decodeFlat, decodeStrings, decodeVectors } from './read/pages.ts'
export {
  type ReadRowsOptions,
  readIds,
  readReceipt,
  readShard,
  type ShardBatch,
  type ShardReceipt,
} from './read/read.ts'
export {
  type BaseRun as Base,
  openBaseRun as openBase,
  RETRYABLE_REJECTS as MODEL_REJECTS,
  type ReusableShard as CarriedShard,
  requireSameRecipe,
  sameLayout,
} from './reuse/base.ts'
export type { ReuseIndex as Known } from './reuse/known.ts'
export { createSliceLocator as createPlaces, type SliceLocator as Places } from './reuse/places.ts'
export { truncateVectors as cutVectors } from './write/cut.ts'
export { openShardWriter } from './write/open.ts'
export {
  createShardWriter,
  type ReceiptFields as ReceiptFacts,
  type ShardRows,
  type ShardWriter,
  type ShardWriterOptions,
  type WrittenShard,
} from './write/writer.ts'
