// The whole public surface of @reembed/export; every other file is private to the package.

export {
  type ExportOutcome,
  type ExportRequest,
  exportRun,
  LAYOUT_NAMES,
  type LayoutName,
} from './export.ts'
export { type Quantization, type Ranges, rangesOf, requireWholeBytes, toInt8, toUbinary } from './quantize.ts'
export { measureRecall, type Recall, type RecallOptions } from './recall.ts'
