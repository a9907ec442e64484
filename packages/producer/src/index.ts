// The public surface of @reembed/producer; every other file is private to the package.

export type { TickOutcome } from '@reembed/protocol'
export { type Audit, createAudit, type LocatedReject } from './audit.ts'
export { type BaseRunResult, findBaseRun, type RecipeIds, requireBaseRun } from './base-run.ts'
export { type Corpus, type OpenCorpusOptions, openCorpus } from './corpus.ts'
export { countPresent, enqueueMissing, shardsPresent } from './enqueue.ts'
export { type Estimate, estimateTotal, nonEmptyDocuments } from './estimate/estimate.ts'
export { type QuoteOptions, quoteRun } from './estimate/quote.ts'
export { type InputSample, sampleInputs } from './estimate/sample-inputs.ts'
export { finalize } from './finalize.ts'
export { forecastReuse, type ReuseForecast, type ReuseGroup } from './forecast.ts'
export { cancelRunDeletion, deleteRuns, findGarbage, type Garbage } from './gc.ts'
export { type HookKind, type Hooks, type HooksOptions, serveHooks } from './hooks.ts'
export { type PlanRequest, type PlanResult, planRun } from './plan.ts'
export { type Preview, previewRun } from './preview.ts'
export {
  DEFAULT_MAX_REJECTS,
  forcePublish,
  type PublishOutcome,
  publish,
  rejectsAllowed,
  rollback,
  supersededBy,
} from './publish.ts'
export { lookUpRun, type PlannedRun, recordPlan } from './record.ts'
export type { RetentionPolicy } from './retention.ts'
export { planRetry } from './retry.ts'
export { type Sample, type SampleOptions, sampleCorpus } from './sample.ts'
export {
  checkSchedule,
  lastTick,
  type Schedule,
  type ScheduleCheck,
  type ScheduleCheckOptions,
  type ScheduleTrigger,
  TICK_RECLAIM_MS,
} from './schedule/check.ts'
export { type Calendar, openCalendar } from './schedule/cron.ts'
export { type Survey, survey } from './survey.ts'
export { createSweeper, type Sweeper, type SweepOutcome } from './sweep.ts'
export { verify } from './verify.ts'
