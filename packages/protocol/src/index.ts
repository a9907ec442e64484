// The public surface of @reembed/protocol; every other file is private to the package.

export {
  type CarriedColumn,
  type CarriedType,
  type CarriedValue,
  type Chunking,
  type ChunkSpan,
  type Compression,
  type CsvTable,
  type Document,
  type FieldMapping,
  FORMATS,
  type Format,
  ID_FIELDS,
  type PartRead,
  type Position,
  type Reject,
  type RejectReason,
  type Slice,
  type SlicePart,
  type SourceObject,
  type SourceRecord,
  TEXT_FIELDS,
} from './corpus.ts'
export {
  putVersion,
  readCurrent,
  readSeq,
  readVersions,
  type SeqEntry,
  takeSeq,
  type Version,
} from './history.ts'
export {
  type RunIdInputs as RunIngredients,
  recipeIdOf,
  replacementIdOf as nextIdOf,
  retryIdOf,
  runIdOf,
  sameRecipe,
  spaceIdOf,
} from './identity.ts'
export type { Dtype, ShardLayout } from './layout.ts'
export {
  type Manifest,
  type ManifestShard,
  readManifest,
  readManifestShards,
  type Totals,
} from './manifest.ts'
export {
  type Plan,
  type Recipe,
  readPlan,
  readSliceSegment as sliceRows,
  readSlices,
  requirePlan,
  slicesPerSegment,
} from './plan.ts'
export {
  type ActualCost as Paid,
  dollarsOf,
  dollarsPerMillion,
  type Interval,
  intervalOf,
  LIST_PRICE,
  mergedIntervals,
  type Price,
  type Quote,
  unionMs,
} from './quote.ts'
export { type ModelIdentity, parseReceipt, RECEIPT_KEY, type Receipt, type RejectRow } from './receipt.ts'
export {
  appendRunState as sayNext,
  deletionReason as whyRemoved,
  type NumberedRunState as NumberedWord,
  type RunBudget as RunLimits,
  type RunState,
  type RunStateRecord as RunWord,
  readRunState,
  readRunStateRecord as readRunWord,
  refuseDeleted as refuseRemoved,
  setRunState,
} from './run-state.ts'
