// The public surface of @reembed/worker; every other file is private to the package.

export { type Budgets, createBudgets, type JobBudget } from './budget.ts'
export { type EmbeddedWindow, type EmbedOptions, embed } from './embed.ts'
export { createEmbedder, type Embedder, type EmbedderParts } from './embedder.ts'
export { createWorkerMetrics, type WorkerMetrics } from './metrics.ts'
export { createRuns, type OpenRun, type Runs, type RunsOptions } from './runs.ts'
export { work } from './work.ts'
export { startWorker, type Worker, type WorkerOptions } from './worker.ts'
