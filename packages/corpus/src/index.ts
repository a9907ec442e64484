// The public surface of @reembed/corpus; every other file is private to the package.

export { chunkDocuments as chunked, openTokenizer, splitOptionsOf as splitOptions } from './chunk/chunk.ts'
export { type SplitOptions, splitText, type TextSpan as Span } from './chunk/split.ts'
export { createTokenizer, type ModelTokenizer } from './chunk/tokenizer.ts'
export { indexArrow as measureArrow } from './source/arrow.ts'
export { type DocumentReader, readDocuments } from './source/documents.ts'
export { type FieldGetter as Field, fieldGetter as fieldAt } from './source/field.ts'
export {
  isRowFormat as isRows,
  isWholeFile,
  needsIndex,
  type ObjectEncoding as Encoding,
  objectEncodingOf as encodingOf,
  SUPPORTED_EXTENSIONS as KNOWN_EXTENSIONS,
} from './source/format.ts'
export { createMapper, type DocumentMapping as Mapping, type Mapper } from './source/mapping.ts'
export { indexObject as measure } from './source/measure.ts'
export { inspectObject as probe } from './source/probe.ts'
export { readSlice, type SliceReader } from './source/read.ts'
export { parseTemplate, type Template } from './source/template.ts'
export type { ObjectIndex as Measure, ObjectInspection as Probe, SplitPoint as Cut } from './source/types.ts'
