// The public surface of @reembed/queue; every other file is private to the package.

export {
  type Commit as Settlement,
  createLimitCoordinator as createBoard,
  type LimitCoordinator as Board,
  type LimitCoordinatorOptions as BoardOptions,
  type LimitView as View,
  type MemberReport as Report,
  type WindowSums as Sums,
} from './board.ts'
export { openLimitCoordinator as openBoard } from './board-redis.ts'
export {
  type ConsumeOptions,
  type Consumer,
  type ConsumerEvent,
  consume,
  type JobContext,
} from './consume.ts'
export {
  openQueueReader as watchQueue,
  QUEUE_STATES,
  type QueueDepth,
  type QueueReader as QueueWatch,
  type QueueState,
  queueKey,
} from './inspect.ts'
export { type Job, parseJob } from './job.ts'
export {
  type Budget as Ledger,
  type BudgetEntry as LedgerEntry,
  type BudgetUsage as Spent,
  openBudget as openLedger,
} from './ledger.ts'
export { jobId, QUEUE, REDIS_PREFIX } from './names.ts'
export type { RunProgress, ShardCounts, WorkerState } from './progress.ts'
export { type FailedJob, openQueue, type Queue, type QueueCounts } from './queue.ts'
export {
  inspectRedis,
  type RedisInfo as RedisFacts,
  redisAddress,
  requireNoEviction,
  requireSecureRedis as requirePrivate,
} from './redis.ts'
export { tracedAttempt } from './trace.ts'
export { type Disposition as Verdict, dispositionOf as verdictOf } from './verdict.ts'
