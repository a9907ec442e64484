// The public surface of @reembed/queue; every other file is private to the package.

export {
  type Board,
  type BoardOptions,
  createBoard,
  type Report,
  type Settlement,
  type Sums,
  type View,
} from './board.ts'
export { openBoard } from './board-redis.ts'
export {
  type ConsumeOptions,
  type Consumer,
  type ConsumerEvent,
  consume,
  type JobContext,
} from './consume.ts'
export {
  QUEUE_STATES,
  type QueueDepth,
  type QueueState,
  type QueueWatch,
  queueKey,
  watchQueue,
} from './inspect.ts'
export { type Job, parseJob } from './job.ts'
export { type Ledger, type LedgerEntry, openLedger, type Spent } from './ledger.ts'
export { jobId, QUEUE, REDIS_PREFIX } from './names.ts'
export type { RunProgress, ShardCounts, WorkerState } from './progress.ts'
export { type FailedJob, openQueue, type Queue, type QueueCounts } from './queue.ts'
export { inspectRedis, type RedisFacts, redisAddress, requireNoEviction, requirePrivate } from './redis.ts'
export { tracedAttempt } from './trace.ts'
export { type Verdict, verdictOf } from './verdict.ts'
