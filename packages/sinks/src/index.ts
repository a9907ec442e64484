// The public surface of @reembed/sinks; every other file is private to the package.

export { type ExportOutcome, type ExportRequest, exportRun, LAYOUT_NAMES, type LayoutName } from './export.ts'
