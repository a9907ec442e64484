// The whole public surface of @reembed/shared; every other file is private to the package.

export { type Chunking, chunked, openTokenizer, splitOptions } from './chunk/chunk.ts'
export { type Span, type SplitOptions, splitText } from './chunk/split.ts'
export { createTokenizer, type ModelTokenizer } from './chunk/tokenizer.ts'
export {
  type NumberedWord,
  type RunLimits,
  type RunState,
  type RunWord,
  readRunState,
  readRunWord,
  refuseRemoved,
  sayNext,
  setRunState,
  whyRemoved,
} from './control.ts'
export type * from './corpus.ts'
export { ID_FIELDS, TEXT_FIELDS } from './corpus.ts'
export {
  type EmbeddingBatch,
  parseRunUrl,
  type ReadEmbeddingsOptions,
  readCurrentManifest,
  readEmbeddings,
  requireManifest,
} from './embeddings.ts'
export { codeOf, ERROR_CODES, type ErrorCode, EXIT, messageOf, ReembedError, type Retry } from './errors.ts'
export * from './history.ts'
export {
  nextIdOf,
  type RunIngredients,
  recipeIdOf,
  retryIdOf,
  runIdOf,
  sameRecipe,
  spaceIdOf,
} from './identity.ts'
export { getJson, getRows, putJson, putRows } from './json.ts'
export { isLoopback, type ListenAddress, listenOn, parseListen } from './listen.ts'
export * from './manifest.ts'
export { observeProcess } from './metrics/process.ts'
export {
  type Bounds as LabelBounds,
  type Counter,
  createRegistry,
  type Gauge,
  type Histogram,
  type Labels,
  type MetricFacts,
  type Registry,
} from './metrics/registry.ts'
export { type MetricsServer, type MetricsServerOptions, serveMetrics } from './metrics/server.ts'
export * from './names.ts'
export { type Logger, openLog } from './observe.ts'
export {
  type Plan,
  type Recipe,
  readPlan,
  readSlices,
  requirePlan,
  sliceRows,
  slicesPerSegment,
} from './plan.ts'
export {
  type Board,
  type BoardOptions,
  createBoard,
  type Report,
  type Settlement,
  type Sums,
  type View,
} from './queue/board.ts'
export { openBoard } from './queue/board-redis.ts'
export {
  type ConsumeOptions,
  type Consumer,
  type ConsumerEvent,
  consume,
  type JobContext,
} from './queue/consume.ts'
export {
  QUEUE_STATES,
  type QueueDepth,
  type QueueState,
  type QueueWatch,
  queueKey,
  watchQueue,
} from './queue/inspect.ts'
export { type Job, parseJob } from './queue/job.ts'
export { type Ledger, type LedgerEntry, openLedger, type Spent } from './queue/ledger.ts'
export type { RunProgress, ShardCounts, WorkerState } from './queue/progress.ts'
export { type FailedJob, openQueue, type Queue, type QueueCounts } from './queue/queue.ts'
export {
  inspectRedis,
  type RedisFacts,
  redisAddress,
  requireNoEviction,
  requirePrivate,
} from './queue/redis.ts'
export { type Verdict, verdictOf } from './queue/verdict.ts'
export * from './quote.ts'
export { type ModelIdentity, RECEIPT_KEY, type Receipt, type RejectRow } from './receipt.ts'
export {
  type Base,
  type CarriedShard,
  MODEL_REJECTS,
  openBase,
  requireSameRecipe,
  sameLayout,
} from './reuse/base.ts'
export type { Known } from './reuse/known.ts'
export { createPlaces, type Places } from './reuse/places.ts'
export { type CheckedShard, checkShard, type ShardExpectations } from './shard/check.ts'
export { bytesOfHashes, contentHashOf, type Dtype, HASH_BYTES, type ShardLayout } from './shard/columns.ts'
export { type ReadShardOptions, unlessCorrupt } from './shard/footer.ts'
export {
  type ReadRowsOptions,
  readIds,
  readReceipt,
  readShard,
  type ShardBatch,
  type ShardReceipt,
} from './shard/read.ts'
export { type DocumentReader, readDocuments } from './source/documents.ts'
export { type Field, fieldAt } from './source/field.ts'
export {
  type Encoding,
  encodingOf,
  FORMATS,
  isRows,
  isWholeFile,
  KNOWN_EXTENSIONS,
  needsIndex,
} from './source/format.ts'
export { createMapper, type Mapper, type Mapping } from './source/mapping.ts'
export { type Cut, type Measure, measure } from './source/measure.ts'
export { type Probe, probe } from './source/probe.ts'
export { readSlice, type SliceReader } from './source/read.ts'
export { parseTemplate, type Template } from './source/template.ts'
export { checkStore, raceStore, STORE_CHECK_KEY } from './store/check.ts'
export { type Eraser, openEraser } from './store/erase.ts'
export { onStoreFault, STORE_FAULTS, type StoreFault } from './store/faults.ts'
export { compareKeys } from './store/keys.ts'
export { ObjectMissing } from './store/missing.ts'
export { type OpenStoreOptions, openStore } from './store/open.ts'
export type { S3Options } from './store/s3.ts'
export { createSettledPut, type PutOutcome, type PutParts } from './store/settle.ts'
export type { ListedObject, ListOptions, ObjectInfo, PutOptions, ReadOptions, Store } from './store/store.ts'
export { batched, mapConcurrent } from './streams.ts'
export { type Attributes, openTracing, type Span as TraceSpan, type Tracer, tracing } from './trace/trace.ts'
