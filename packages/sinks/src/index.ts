// The public surface of @reembed/sinks; every other file is private to the package.

export {
  EXPORT_LAYOUT_NAMES as LAYOUT_NAMES,
  type ExportLayoutName as LayoutName,
  type ExportRequest,
  type ExportResult as ExportOutcome,
  exportRun,
} from './export.ts'
