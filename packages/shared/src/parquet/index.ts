// Writing Parquet, for those who make files: the worker its shards, exports their layouts. The public surface of
// @reembed/shared/parquet.

export type { KeyValue } from 'hyparquet'
export { extraColumns, extraValues, vectorColumns } from '../shard/columns.ts'
export { type ArrowWriter, type ArrowWriterOptions, arrowSchemaOf, createArrowWriter } from './arrow.ts'
export type { FixedColumn, FlatColumn, ParquetColumn, VectorColumn, VectorElement } from './columns.ts'
export { misfitOf } from './flat.ts'
export {
  createShardBuffer,
  createShardBuffers,
  type ShardBuffer,
  type ShardBuffers,
  type ShardSink,
} from './sink.ts'
export {
  type ColumnValues,
  createParquetWriter,
  type ParquetWriter,
  type ParquetWriterOptions,
} from './writer.ts'
