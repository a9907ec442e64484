// The public surface of @reembed/export; every other file is private to the package.

export { consumerOf } from './consumer.ts'
export { exportedRows, exportedShards } from './delta.ts'
export { type ExportRequest, type ExportResult, exportRun } from './export.ts'
export { metadataOf, toJson } from './layout.ts'
export {
  ELASTIC_DIMENSIONS,
  ELASTIC_ID_BYTES,
  elasticProperties,
  floatArray,
  members,
} from './layouts/json.ts'
export { MILVUS_ID_BYTES, MILVUS_LIMITS, MILVUS_STRING_BYTES } from './layouts/parquet.ts'
export { EXPORT_LAYOUT_NAMES, type ExportLayoutName } from './layouts/registry.ts'
export {
  COPY_HEADER,
  COPY_TRAILER,
  copyRows,
  pgColumns,
  pgIndexOf,
  quoted,
  requirePgDimensions,
} from './pg-copy.ts'
export { columnsOf, columnsUnder, type RowsOptions, type RunShard, rowsOf, shardsOf } from './read-run.ts'
export { problemOf } from './row-limits.ts'
