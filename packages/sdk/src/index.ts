// The public surface of @reembed/sdk; the package `reembed` exports the same names.

export type { EndpointOptions, HfOptions } from '@reembed/endpoint'
export type { EvaluationQuery, ScoredRun, Verification } from '@reembed/evaluate'
export type { PlanNotice, PlanOptions, SpendingOptions } from '@reembed/planner'
export type {
  FollowProgress,
  PlanningStatus,
  PublishedVersion,
  PublishOutcome,
  RunCost,
  RunSpeed,
  RunStatus,
  RunStatusState,
  StateReason,
  SweepOutcome,
} from '@reembed/producer'
export type {
  FieldMapping,
  Format,
  LoadProof,
  LoadRecord,
  Manifest,
  ModelIdentity,
  Quote,
  RefusedRow,
  Totals,
} from '@reembed/protocol'
export type { QueueCounts, RedisTarget, RunProgress, WorkerState } from '@reembed/queue'
export { type EmbeddingBatch, readCurrentManifest, readEmbeddings } from '@reembed/shard'
export { type ErrorCode, ReembedError } from '@reembed/shared'
export type { LoadOutcome, LoadProgress, SwitchOutcome } from '@reembed/sinks'
export type { S3Options } from '@reembed/store'
export type { Logger, Registry } from '@reembed/telemetry'
export type { JobFailure } from '@reembed/worker'
export { isReembedError, type ReembedFailure } from './errors.ts'
export type {
  CallOptions,
  DecisionOptions,
  DropOptions,
  EnqueuedRun,
  EvaluateOptions,
  LoadOptions,
  PublishOptions,
  ReadOptions,
  ReembedOptions,
  ResumeOptions,
  RunningWorker,
  RunPlan,
  SourceOptions,
  SwitchOptions,
  WaitOptions,
  WorkerOptions,
} from './options.ts'
export { createReembed, type Reembed } from './reembed.ts'
