// The public surface of @reembed/producer; every other file is private to the package.

export { type CarryOptions, carryUnchanged } from './carry.ts'
export { type ResumeOptions, resumeRun, stopRun } from './control.ts'
export { enqueueMissing } from './enqueue.ts'
export { finalize } from './finalize.ts'
export { type FollowOptions, type FollowProgress, followRun } from './follow.ts'
export { cancelRunDeletion, deleteRuns, findGarbage, type Garbage } from './gc.ts'
export { collectBlocks, type UnusedBlocks } from './gc-tables.ts'
export { type HookKind, type Hooks, type HooksOptions, serveHooks } from './hooks.ts'
export { type ProducerMetrics, registerProducerMetrics } from './metrics/producer.ts'
export { registerQueueMetrics } from './metrics/queue.ts'
export { pollRunMetrics } from './metrics/runs.ts'
export { forcePublish, type PublishOutcome, publish, rollback, supersededBy } from './publish.ts'
export type { RetentionPolicy } from './retention.ts'
export { planRetry } from './retry.ts'
export type { Bottleneck } from './run-status/bottleneck.ts'
export {
  describeRun,
  RUN_STATES,
  type RunCondition,
  type RunCost,
  type RunSpeed,
  type RunStatus,
  type RunStatusState,
  STATE_REASONS,
  type StateReason,
} from './run-status/describe.ts'
export {
  createFactsReader,
  type FactsReader,
  type QueueFacts,
  type QueueView,
  type RunFacts,
} from './run-status/facts.ts'
export type { LoadState, LoadStatus } from './run-status/loads.ts'
export { type PlanningStatus, readPlanningStatus } from './run-status/planning.ts'
export {
  createRunsReader,
  type OutputStatus,
  type RunsReader,
  readOutputStatus,
  readRunStatus,
  watchOutput,
} from './run-status/run-status.ts'
export { newestLoadRecord, readStoreTargets, type StoreTarget } from './run-status/store-targets.ts'
export {
  checkSchedule,
  describeSchedules,
  isoOf,
  type Schedule,
  type ScheduleCheck,
  type ScheduleCheckOptions,
  type ScheduleStatus,
  type ScheduleTrigger,
} from './schedule/check.ts'
export { type Calendar, openCalendar } from './schedule/cron.ts'
export { type PlanningTick, planAndEnqueue } from './schedule/planning-tick.ts'
export {
  createHookQueue,
  describeCheck,
  type HookQueue,
  runHooks,
  runSchedules,
  type ScheduleLoopOptions,
} from './schedule/run-schedules.ts'
export { enqueueRun, type RecordedRun, recordRun, type SubmittedRun, submitRun } from './submit.ts'
export { createSweeper, type Sweeper, type SweepOutcome } from './sweep.ts'
export { sweepOutputs } from './sweep-loop.ts'
export { listVersions, type PublishedVersion } from './versions.ts'
