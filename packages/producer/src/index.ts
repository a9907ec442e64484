// The public surface of @reembed/producer; every other file is private to the package.

export { type BaseRunResult, findBaseRun, type RecipeIds, requireBaseRun } from './base-run.ts'
export { type ResumeOptions, resumeRun, stopRun } from './control.ts'
export { type Corpus, type OpenCorpusOptions, openCorpus } from './corpus.ts'
export { countPresent, enqueueMissing, shardsPresent } from './enqueue.ts'
export type { Estimate } from './estimate/estimate.ts'
export type { QuoteOptions } from './estimate/quote.ts'
export type { InputSample } from './estimate/sample-inputs.ts'
export { finalize } from './finalize.ts'
export { findRun, plannedRuns } from './find-run.ts'
export { type FollowOptions, type FollowProgress, followRun } from './follow.ts'
export { forecastReuse, type ReuseForecast, type ReuseGroup } from './forecast.ts'
export { cancelRunDeletion, deleteRuns, findGarbage, type Garbage } from './gc.ts'
export { type HookKind, type Hooks, type HooksOptions, serveHooks } from './hooks.ts'
export { type ProducerMetrics, registerProducerMetrics } from './metrics/producer.ts'
export { registerQueueMetrics } from './metrics/queue.ts'
export { pollRunMetrics } from './metrics/runs.ts'
export {
  type EmbedDocuments,
  type ModelPreview,
  type PreviewNotice,
  type PreviewRequest,
  previewModel,
} from './model-preview.ts'
export { type PlanRequest, type PlanResult, planRun } from './plan.ts'
export type { PlanNotice, PlanOptions } from './planning/options.ts'
export { type PlanContext, type PlannedCorpus, planCorpus } from './planning/plan-corpus.ts'
export { type Quoted, resolvePrice } from './planning/quoting.ts'
export { type Preview, previewRun } from './preview.ts'
export {
  forcePublish,
  type PublishOutcome,
  publish,
  rollback,
  supersededBy,
} from './publish.ts'
export { lookUpRun, type PlannedRun, recordPlan } from './record.ts'
export type { RetentionPolicy } from './retention.ts'
export { planRetry } from './retry.ts'
export { budgetOf, type SpendingOptions } from './run-budget.ts'
export { type RunStatus, type RunStatusState, readRunStatus } from './run-status.ts'
export { type Sample, type SampleOptions, sampleCorpus } from './sample.ts'
export type { ColumnFit, SampleFit } from './sample-fit.ts'
export {
  checkSchedule,
  lastTick,
  type Schedule,
  type ScheduleCheck,
  type ScheduleCheckOptions,
  type ScheduleTrigger,
} from './schedule/check.ts'
export { type Calendar, openCalendar } from './schedule/cron.ts'
export { type PlanningTick, planAndEnqueue } from './schedule/planning-tick.ts'
export {
  createHookQueue,
  describeCheck,
  type HookQueue,
  isoOf,
  runHooks,
  runSchedules,
  type ScheduleLoopOptions,
} from './schedule/run-schedules.ts'
export { enqueueRun, type RecordedRun, recordRun, type SubmittedRun, submitRun } from './submit.ts'
export { type Survey, survey } from './survey.ts'
export { createSweeper, type Sweeper, type SweepOutcome } from './sweep.ts'
export { sweepOutputs } from './sweep-loop.ts'
