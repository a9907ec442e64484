// The public surface of @reembed/producer; every other file is private to the package.

export { type Audit, createAudit, type LocatedReject } from './audit.ts'
export { type Corpus, type OpenCorpusOptions, openCorpus } from './corpus.ts'
export { countPresent, enqueueMissing, shardsPresent } from './enqueue.ts'
export { type Estimate, estimateTotal, sentOf } from './estimate/estimate.ts'
export { type QuoteOptions, quoteRun } from './estimate/quote.ts'
export { type InputSample, sampleInputs } from './estimate/sample-inputs.ts'
export { finalize } from './finalize.ts'
export { forecastReuse, type ReuseForecast, type Share } from './forecast.ts'
export { findGarbage, type Garbage, removeRuns, spareRun } from './gc.ts'
export type { KeepRules } from './gc-judge.ts'
export { type HookKind, type Hooks, type HooksOptions, serveHooks } from './hooks.ts'
export { type PlanRequest, planRun, type SurveyedRun } from './plan.ts'
export { type Preview, previewRun } from './preview.ts'
export {
  DEFAULT_MAX_REJECTS,
  overtakenBy,
  type PublishOutcome,
  publish,
  publishDespite,
  rejectsAllowed,
  rollback,
} from './publish.ts'
export { findPlanned, type PlannedRun, recordPlan } from './record.ts'
export { planRetry } from './retry.ts'
export { type BaseFound, findBase, type RecipeIds, requireBase } from './reuse.ts'
export { type Sample, type SampleOptions, sampleCorpus } from './sample.ts'
export { type Calendar, openCalendar } from './schedule/cron.ts'
export {
  type Look,
  type LookOptions,
  lastTick,
  lookAtSchedule,
  type Schedule,
  TAKE_AGAIN_MS,
  type TickOutcome,
  type When,
} from './schedule/ticks.ts'
export { type Survey, survey } from './survey.ts'
export { createSweeper, type Sweeper, type SweepOutcome } from './sweep.ts'
export { verify } from './verify.ts'
