// The public surface of @reembed/sinks; every other file is private to the package.

export {
  EXPORT_LAYOUT_NAMES,
  type ExportLayoutName,
  type ExportRequest,
  type ExportResult,
  exportRun,
} from './export.ts'
