// The public surface of @reembed/console; every other file is private to the package.

export type { SearchEndpoint } from './data/searches.ts'
export type { ConsoleQueue } from './data/watch-outputs.ts'
export type { CommandOf, Step } from './page/next-steps.ts'
export { reportPreview } from './report/preview.ts'
export {
  type Report,
  type ReportComparisonOptions,
  reportComparison,
  reportRun,
} from './report/report.ts'
export { type Console, type ConsoleOptions, serveConsole } from './server/serve.ts'
