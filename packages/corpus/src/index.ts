// The public surface of @reembed/corpus; every other file is private to the package.

export { chunkDocuments, splitOptionsOf } from './chunk/chunk.ts'
export { type SplitOptions, splitText, type TextSpan } from './chunk/split.ts'
export { countByCosts, PART_KINDS, type PartKind, partsOf, type TokenCosts } from './chunk/token-costs.ts'
export { createTokenizer, type ModelTokenizer } from './chunk/tokenizer.ts'
export {
  openPostgresTable,
  type PostgresTable,
  type TableRow,
  type TableSample,
} from './database/postgres-table.ts'
export { type DocumentReader, readDocuments } from './source/documents.ts'
export { createMapper, type DocumentMapping } from './source/mapping.ts'
export { readSlice, type SliceReader } from './source/read.ts'
export { parseTemplate, type Template } from './source/template.ts'
export { type DeltaSnapshot, readDeltaSnapshot } from './tables/delta-log.ts'
