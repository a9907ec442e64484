// The whole public surface of @reembed/worker; every other file is private to the package.

export { type AwakeOptions, openAwake } from './awake.ts'
export { type Budgets, createBudgets, type JobBudget } from './budget.ts'
export { type RequestShape, requestShape } from './embed/canary.ts'
export type { Clock } from './embed/clock.ts'
export { BYTES_PER_TOKEN, cutToBytes } from './embed/prepare.ts'
export { type EmbeddedWindow, type EmbedOptions, embed } from './embed.ts'
export { createEmbedder, type Embedder, type EmbedderParts } from './embedder.ts'
export {
  cosine,
  decodeEmbeddings,
  type Endpoint,
  type EndpointInfo,
  type EndpointOptions,
  type Outcome,
  openEndpoint,
  openPlace,
  type Place,
  parseAddresses,
  type ReplicaEvent,
  type RequestOptions,
  type Resolve,
} from './endpoint/index.ts'
export {
  createHf,
  type DeployRequest,
  HF_API,
  type Hf,
  type HfChange,
  type HfEndpoint,
  type HfName,
  type HfOptions,
  type HfPrice,
  type HfState,
  parseHfName,
} from './hf/api.ts'
export { HUB, type HubOptions, resolveCommit } from './hf/hub.ts'
export { untilChanged, untilRunning, type WaitOptions } from './hf/state.ts'
export {
  assertSameModel,
  checkReference,
  type ModelReference,
  measureReference,
  modelOf,
  referenceTexts,
  settleReference,
} from './identity.ts'
export { createLimiter, type Limiter, type LimiterOptions, type Permit, type Probe } from './limiter.ts'
export { bestOf, type Measured, type MeasureOptions, measure, type Setting, textsOf } from './measure.ts'
export { createWorkerMetrics, type WorkerMetrics } from './metrics.ts'
export { createRuns, type OpenRun, type Runs, type RunsOptions } from './runs.ts'
export { cutVectors } from './shard/cut.ts'
export {
  createShardWriter,
  type ReceiptFacts,
  type ShardRows,
  type ShardWriter,
  type ShardWriterOptions,
  type WrittenShard,
} from './shard/writer.ts'
export { tracedEndpoint } from './trace.ts'
export { work } from './work.ts'
export { startWorker, type Worker, type WorkerOptions } from './worker.ts'
