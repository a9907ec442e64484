// The public surface of @reembed/worker; every other file is private to the package.

export { createJobBudgets as createBudgets, type JobBudget, type JobBudgets as Budgets } from './budget.ts'
export { type EmbeddedWindow, type EmbedOptions, embed } from './embed.ts'
export { createEmbedder, type Embedder, type EmbedderDependencies as EmbedderParts } from './embedder.ts'
export { createWorkerMetrics, type WorkerMetrics } from './metrics.ts'
export {
  createRunCache as createRuns,
  type OpenRun,
  type RunCache as Runs,
  type RunCacheOptions as RunsOptions,
} from './runs.ts'
export { processJob as work } from './work.ts'
export { startWorker, type Worker, type WorkerOptions } from './worker.ts'
