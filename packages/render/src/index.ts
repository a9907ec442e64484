// The public surface of @reembed/render; every other file is private to the package.

export {
  type BenchmarkRates,
  benchmarkHead,
  benchmarkLine,
  benchmarkRates,
  benchmarkSentence,
} from './benchmark.ts'
export { endpointText, memoryText, sourceText } from './check.ts'
export { paintFirst, paintList, paintRun, printablePainted } from './colours.ts'
export { columnFitText } from './column-fit.ts'
export {
  describeComparison,
  describeModelPreview,
  modelPreviewData,
  modelPreviewRecord,
} from './comparison.ts'
export { embedCalls } from './embed-calls.ts'
export { describeFinishedRun, describeWorse, finishedRunData, outcomeSentence } from './finished-run.ts'
export { garbageLines } from './garbage.ts'
export { indexReportText } from './index-report.ts'
export { modelText } from './model.ts'
export { namesText, waitText } from './notices.ts'
export { bytes, count, counted, dollars, duration } from './numbers.ts'
export { describePlan, describePreview, describeQuote, describeReuse } from './plan.ts'
export { createProgressLine, type ProgressFacts, type ProgressLine } from './progress-line.ts'
export { queuedRows } from './queued.ts'
export { recallLines } from './recall.ts'
export { REJECT_COLUMNS, rejectCsv, rejectText } from './rejects.ts'
export { alignRows, type Row, wrapped } from './rows.ts'
export { describeOutputStatus, describeRunStatus, listRuns } from './run.ts'
export { listSchedules } from './schedules.ts'
export { tableText, unusedRows } from './table.ts'
export { unreadForecast, unreadWarning } from './totals.ts'
export { droppedRows, loadRows, loadStep, otherRuns, switchJson, switchRows } from './vector-store.ts'
export { describeVerification } from './verification.ts'
export { versionLines } from './versions.ts'
