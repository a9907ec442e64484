// The public API of @reembed/protocol; every other file is private to the package.

export type { Actor, Attribution } from './attribution.ts'
export { costOf, isCarried, isShardOf } from './carried.ts'
export type {
  Answer,
  Answered,
  JudgedComparison,
  Passed,
  QueryChange,
  RefittedThreshold,
  RowComparison,
  ScorePair,
  ThresholdComparison,
} from './compared.ts'
export {
  blockNameOf,
  CARRIED_TYPES,
  type CarriedColumn,
  type CarriedType,
  type CarriedValue,
  type ChunkContext,
  type Chunking,
  type ChunkSpan,
  type Compression,
  type CsvDialect,
  type CsvTable,
  type DatabaseTable,
  type Document,
  type FieldMapping,
  FORMATS,
  type Format,
  ID_FIELDS,
  isCopied,
  lastingKeyOf,
  type PartRead,
  type Position,
  type Reject,
  type RejectReason,
  type Slice,
  type SlicePart,
  type SourceObject,
  type SourceRecord,
  type SourceTable,
  TEXT_FIELDS,
  TITLE_FIELD,
} from './corpus.ts'
export { describeCsvDialect, parseCsvDialect } from './csv-dialect.ts'
export { filePathOf, isDirectSource } from './direct-source.ts'
export { type ExportRecord, putExportRecord, readExportRecord } from './export-record.ts'
export {
  type Evaluation,
  type GateReport,
  type GateResult,
  getGateReport,
  type JudgedQuery,
  putEvaluation,
  putGateReport,
  putQueries,
  type QueryVector,
  readEvaluation,
  readQueries,
  type Scores,
  type WorseQuery,
} from './gate-report.ts'
export {
  putVersion,
  readCurrent,
  readPlannedMs,
  readSeq,
  readVersions,
  type SeqEntry,
  takeSeq,
  type Version,
  type VersionAction,
} from './history.ts'
export {
  type RunIdInputs,
  recipeIdOf,
  replacementIdOf,
  retryIdOf,
  runIdOf,
  sameRecipe,
  sameVectors,
  spaceIdOf,
} from './identity.ts'
export type { Dtype, ShardLayout } from './layout.ts'
export {
  type LoadedShard,
  type LoadOrder,
  type LoadProof,
  type LoadRecord,
  type LoadTarget,
  type LoadUpdate,
  putLoadedShard,
  putLoadOrder,
  putLoadRecord,
  type RefusedRow,
  readLoadedShard,
  readLoadedShards,
  readLoadOrders,
  readLoadRecords,
  requireLoadOrder,
} from './load-record.ts'
export {
  contentOfTarget,
  DEFAULT_TARGET_NAME,
  loadOfRun,
  loadOfTarget,
  oldTargets,
  readLoadRecordsOf,
  requireTargetName,
  targetsOf,
  targetsToDrop,
  wholeTarget,
} from './load-targets.ts'
export {
  type Manifest,
  type ManifestShard,
  putManifest,
  putManifestSegment,
  readManifest,
  readManifestShards,
  type Totals,
} from './manifest.ts'
export { type ModelReference, putModelReference, readModelReference } from './model-reference.ts'
export {
  baseRunsOf,
  estimatedInputs,
  type Plan,
  putPlan,
  putSliceSegment,
  type Recipe,
  readPlan,
  readSliceSegment,
  readSlices,
  requirePlan,
  requireSlices,
  slicesPerSegment,
} from './plan.ts'
export {
  type PreviewFigures,
  type PreviewRecord,
  putPreview,
  readPreviews,
} from './preview-record.ts'
export {
  type ActualCost,
  dollarsOf,
  dollarsPerMillion,
  type Interval,
  intervalOf,
  LIST_PRICE,
  mergedIntervals,
  type Price,
  type Quote,
  type TextEstimate,
  type TokenDensity,
  unionMs,
} from './quote.ts'
export {
  addUnread,
  assertReceiptReadable,
  type ModelIdentity,
  parseReceipt,
  RECEIPT_KEY,
  type Receipt,
  type RejectRow,
  type UnreadTokens,
  unreadShare,
} from './receipt.ts'
export { pauseReplacedModel } from './replaced-model.ts'
export {
  appendRunState,
  failRun,
  isDeletion,
  type NumberedRunState,
  type RunBudget,
  type RunFailure,
  type RunState,
  type RunStateRecord,
  readRunState,
  readRunStateRecord,
  readRunStates,
  refuseDeleted,
  setRunState,
} from './run-state.ts'
export { countPresent, shardsPresent } from './shards-present.ts'
export { continueSuperseded, isSuperseded } from './superseded.ts'
export {
  getTickClaim,
  putTickClaim,
  putTickOutcome,
  putTicksSince,
  readTickOutcome,
  readTicksSince,
  type TickClaim,
  type TickOutcome,
} from './tick.ts'
