// The public surface of @reembed/formats; every other file is private to the package.

export {
  BOM_BYTES,
  hasBom,
  isRowFormat,
  isWholeFile,
  needsIndex,
  type ObjectEncoding,
  objectEncodingOf,
  requireUtf8,
  SUPPORTED_EXTENSIONS,
} from './format.ts'
export { inspectObject } from './inspect/inspect.ts'
export type { ObjectIndex, ObjectInspection } from './inspect/object-facts.ts'
export { indexObject } from './inspect/object-index.ts'
export { type Partition, partitionOf } from './partition.ts'
export { readRecords } from './read-records.ts'
export type { Mapper, NulledValues } from './record-mapper.ts'
export { createReject } from './reject.ts'
export { mayBeRounded, parseExactJson } from './value/exact-json.ts'
export { type FieldGetter, fieldGetter, pathSegments } from './value/field.ts'
export { describeValue, isInvalidUtf8, MAX_RECORD_BYTES, toId } from './value/record-values.ts'
export { fitsColumn, toColumn } from './value/to-column.ts'
export { toText } from './value/to-text.ts'
export { TypedValue } from './value/typed-value.ts'
export { visitRecords } from './visit-records.ts'
