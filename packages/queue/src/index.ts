// The public API of @reembed/queue; every other file is private to the package.

export { type Budget, type BudgetEntry, type BudgetUsage, openBudget } from './budget.ts'
export {
  type ConsumeOptions,
  type Consumer,
  type ConsumerEvent,
  consume,
  type JobContext,
  type JobStop,
} from './consume.ts'
export { QUEUE_STATES, type QueueCounts, type QueueState } from './counts.ts'
export { type Disposition, dispositionOf, type Observations } from './disposition.ts'
export type { FailedJob, JobAttempts } from './failed-jobs.ts'
export { openQueueReader, type QueueDepth, type QueueReader } from './inspect.ts'
export { type Job, parseJob, type RunPointer, storeKey } from './job.ts'
export {
  type Commit,
  createLimitCoordinator,
  type LimitCoordinator,
  type LimitCoordinatorOptions,
  type LimitView,
  type MemberReport,
  type WindowSums,
} from './limit-coordinator.ts'
export { openLimitCoordinator } from './limit-coordinator-redis.ts'
export { loadersOf, waitOfLoaders } from './loaders.ts'
export { jobId, QUEUE, queueKey, REDIS_PREFIX, runKey } from './names.ts'
export {
  announcePlanning,
  type PlanningAnnouncement,
  type PlanningEntry,
  type PlanningStep,
} from './planning.ts'
export { type RunProgress, type ShardCounts, servesOutput, type WorkerState } from './progress.ts'
export { openQueue, type Queue } from './queue.ts'
export {
  inspectRedis,
  type RedisInfo,
  type RedisTarget,
  redisAddress,
  requireNoEviction,
  secureUrlOf,
} from './redis.ts'
export { withDatabase } from './redis-url.ts'
export { requireRights } from './rights.ts'
export { requestWake } from './wake.ts'
export {
  JOB_STAGES,
  type JobStage,
  type ReplicaFigures,
  type StageShares,
  type WorkerActivity,
} from './worker-activity.ts'
