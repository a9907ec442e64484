// The public surface of @reembed/corpus; every other file is private to the package.

export { chunkDocuments, splitOptionsOf } from './chunk/chunk.ts'
export { type SplitOptions, splitText, type TextSpan } from './chunk/split.ts'
export { createTokenizer, type ModelTokenizer } from './chunk/tokenizer.ts'
export { indexArrow } from './source/arrow.ts'
export { type DocumentReader, readDocuments } from './source/documents.ts'
export { type FieldGetter, fieldGetter } from './source/field.ts'
export {
  isRowFormat,
  isWholeFile,
  needsIndex,
  type ObjectEncoding,
  objectEncodingOf,
  SUPPORTED_EXTENSIONS,
} from './source/format.ts'
export { inspectObject } from './source/inspect.ts'
export { createMapper, type DocumentMapping, type Mapper, type NulledValues } from './source/mapping.ts'
export { indexObject } from './source/object-index.ts'
export { readSlice, type SliceReader } from './source/read.ts'
export { parseTemplate, type Template } from './source/template.ts'
export type { ObjectIndex, ObjectInspection, SplitPoint } from './source/types.ts'
export { fitsColumn } from './value/to-column.ts'
