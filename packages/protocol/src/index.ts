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
  nextIdOf,
  type RunIngredients,
  recipeIdOf,
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
  readSlices,
  requirePlan,
  sliceRows,
  slicesPerSegment,
} from './plan.ts'
export {
  dollarsOf,
  dollarsPerMillion,
  type Interval,
  intervalOf,
  LIST_PRICE,
  mergedIntervals,
  type Paid,
  type Price,
  type Quote,
  unionMs,
} from './quote.ts'
export { type ModelIdentity, parseReceipt, RECEIPT_KEY, type Receipt, type RejectRow } from './receipt.ts'
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
} from './run-state.ts'
