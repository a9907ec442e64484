// The whole public surface of @reembed/producer; every other file is private to the package.

export { type Audit, createAudit, type LocatedReject } from './audit.ts'
export {
  evaluateRows,
  type JudgedQuery,
  pairedDrop,
  putQueries,
  type QueryVector,
  readQueries,
  type Scores,
} from './compare/evaluate.ts'
export { compareRows, type Health, healthOf, mean, type Rows, type RowsCompared } from './compare/rows.ts'
export { type CompareOptions, type Comparison, compareRuns } from './compare/runs.ts'
export { locateRows, rowsOfIds, shuffled } from './compare/sample.ts'
export { type Corpus, type OpenCorpusOptions, openCorpus } from './corpus.ts'
export { countPresent, enqueueMissing, shardsPresent } from './enqueue.ts'
export { type Estimate, estimateTotal } from './estimate/estimate.ts'
export { type QuoteOptions, quoteRun } from './estimate/quote.ts'
export { type InputSample, sampleInputs } from './estimate/sample-inputs.ts'
export { finalize } from './finalize.ts'
export { forecastReuse, type ReuseForecast, type Share } from './forecast.ts'
export { type Gate, judge, needsQueries, parseGate, type Verdict } from './gates.ts'
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
