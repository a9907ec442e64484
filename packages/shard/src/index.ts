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
export { misfitOf } from './parquet/flat.ts'
export {
  createShardBuffer,
  createShardBuffers,
  type ShardBuffer,
  type ShardBuffers,
  type ShardSink,
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
  bytesOfHashes,
  contentHashOf,
  extraColumns,
  extraValues,
  HASH_BYTES,
  vectorColumns,
} from './read/columns.ts'
export { type ReadShardOptions, readFooter, unlessCorrupt } from './read/footer.ts'
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
  type Base,
  type CarriedShard,
  MODEL_REJECTS,
  openBase,
  requireSameRecipe,
  sameLayout,
} from './reuse/base.ts'
export type { Known } from './reuse/known.ts'
export { createPlaces, type Places } from './reuse/places.ts'
export { cutVectors } from './write/cut.ts'
export { openShardWriter } from './write/open.ts'
export {
  createShardWriter,
  type ReceiptFacts,
  type ShardRows,
  type ShardWriter,
  type ShardWriterOptions,
  type WrittenShard,
} from './write/writer.ts'
