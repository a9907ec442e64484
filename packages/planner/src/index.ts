// The public surface of @reembed/planner; every other file is private to the package.

export { findBaseRun, requireBaseRun } from './base-run.ts'
export type { Corpus } from './corpus.ts'
export { type PromptMismatch, promptMismatch } from './documented-prompts.ts'
export {
  type BenchmarkOptions,
  type BenchmarkResult,
  type BenchmarkSetting,
  benchmarkEndpoint,
  bestResult,
  generateTexts,
} from './estimate/benchmark.ts'
export { findRun, findVersion, newestPlan, plannedRuns } from './find-run.ts'
export { type ModelPreview, type PreviewNotice, previewModel } from './model-preview.ts'
export { openCorpus } from './open-corpus.ts'
export type { PlanNotice, PlanOptions } from './options.ts'
export { type PlanRequest, planRun } from './plan.ts'
export { planCorpus } from './plan-corpus.ts'
export { describePlanStep } from './plan-steps.ts'
export { type Preview, previewRun } from './preview.ts'
export { type ExceededLimit, exceededLimits, type RejectLimit } from './publish-limits.ts'
export { resolvePrice } from './quoting.ts'
export { lookUpRun, type PlannedRun, recordPlan } from './record-plan.ts'
export { forecastReuse, type ReuseForecast, type ReuseGroup } from './reuse-forecast.ts'
export { applyBudget, budgetOf, runStoppedError, type SpendingOptions } from './run-budget.ts'
export { sampleCorpus } from './sample.ts'
export type { ColumnFit } from './sample-fit.ts'
export { survey } from './survey.ts'
