// The public surface of @reembed/corpus; every other file is private to the package.

export { chunked, openTokenizer, splitOptions } from './chunk/chunk.ts'
export { type Span, type SplitOptions, splitText } from './chunk/split.ts'
export { createTokenizer, type ModelTokenizer } from './chunk/tokenizer.ts'
export { measureArrow } from './source/arrow.ts'
export { type DocumentReader, readDocuments } from './source/documents.ts'
export { type Field, fieldAt } from './source/field.ts'
export {
  type Encoding,
  encodingOf,
  isRows,
  isWholeFile,
  KNOWN_EXTENSIONS,
  needsIndex,
} from './source/format.ts'
export { createMapper, type Mapper, type Mapping } from './source/mapping.ts'
export { measure } from './source/measure.ts'
export { probe } from './source/probe.ts'
export { readSlice, type SliceReader } from './source/read.ts'
export { parseTemplate, type Template } from './source/template.ts'
export type { Cut, Measure, Probe } from './source/types.ts'
