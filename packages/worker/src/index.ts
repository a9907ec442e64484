// The public surface of @reembed/worker; every other file is private to the package.

export { createJobBudgets, type JobBudget, type JobBudgets } from './budget.ts'
export { type EmbeddedWindow, type EmbedOptions, embed } from './embed.ts'
export { type EmbeddedDocuments, embedDocuments } from './embed-documents.ts'
export { createEmbedder, type Embedder, type EmbedderDependencies } from './embedder.ts'
export { createWorkerHealth, type WorkerHealth } from './health.ts'
export type { ShardLoader } from './load-shard.ts'
export { createWorkerMetrics, type WorkerMetrics } from './metrics.ts'
export { processJob } from './process-job.ts'
export { createRunCache, type OpenRun, type RunCache, type RunCacheOptions } from './run-cache.ts'
export { type JobFailure, startWorker, type Worker, type WorkerOptions } from './worker.ts'
