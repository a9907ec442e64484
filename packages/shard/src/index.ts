// The public surface of @reembed/shard; every other file is private to the package.

export type { KeyValue } from 'hyparquet'
export type { ConsumedRow, Consumer } from './consumer.ts'
export {
  type EmbeddingBatch,
  type ReadEmbeddingsOptions,
  readCurrentManifest,
  readEmbeddings,
  requireManifest,
} from './embeddings.ts'
export { createOffenders } from './offenders.ts'
export {
  type ArrowBatch,
  type ArrowWriter,
  type ArrowWriterOptions,
  arrowSchemaOf,
  arrowTableOf,
  createArrowWriter,
} from './parquet/arrow.ts'
export type {
  FixedColumn,
  FlatColumn,
  ParquetColumn,
  VectorColumn,
  VectorElement,
} from './parquet/columns.ts'
export { columnMismatch } from './parquet/flat.ts'
export {
  type ByteSink,
  createShardBuffer,
  createShardBufferPool,
  type ShardBuffer,
  type ShardBufferPool,
} from './parquet/shard-buffer.ts'
export {
  type ColumnValues,
  createParquetWriter,
  type ParquetWriter,
  type ParquetWriterOptions,
} from './parquet/writer.ts'
export { type Quantization, type Ranges, rangesOf, requireWholeBytes, toInt8, toUbinary } from './quantize.ts'
export { type CheckedShard, checkShard, type ShardExpectations } from './read/check.ts'
export { contentHashOf, encodeHashes, extraColumns, extraValues, vectorColumns } from './read/columns.ts'
export { type ReadShardOptions, readFooter, undefinedIfCorrupt } from './read/footer.ts'
export { decodeFlat, decodeStrings, decodeVectors } from './read/pages.ts'
export {
  type ReadRowsOptions,
  readIdHashes,
  readIds,
  readReceipt,
  readShard,
  type ShardBatch,
  type ShardReceipt,
} from './read/read.ts'
export {
  canHaveMajority,
  createRepeatedVectors,
  isMostlyRepeated,
  REPEATED_CAUSES,
  type RepeatedVectors,
} from './read/repeated-vectors.ts'
export {
  type BaseRuns,
  type BaseShardCache,
  createBaseShardCache,
  openBaseRuns,
  RETRYABLE_REJECTS,
  type ReusableShard,
  sameLayout,
} from './reuse/base-run.ts'
export { type Checkpoints, openCheckpoints } from './reuse/checkpoints.ts'
export { type LookUpOptions, type ReuseIndex, searchInOrder } from './reuse/reuse-index.ts'
export { type Candidates, createSliceLocator, type SliceLocator } from './reuse/slice-locator.ts'
export { openShardWriter } from './write/open.ts'
export { truncateVectors } from './write/truncate.ts'
export {
  createShardWriter,
  type ReceiptFields,
  type ShardRows,
  type ShardWriter,
  type ShardWriterOptions,
  type WrittenShard,
} from './write/writer.ts'
