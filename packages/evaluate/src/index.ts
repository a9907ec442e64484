// The public surface of @reembed/evaluate; every other file is private to the package.

export { type Changes, type ChangesOptions, findChanges, type RowChange } from './compare/changes.ts'
export { type Health, healthOf, type Rows } from './compare/rows.ts'
export { type CompareOptions, type Comparison, compareRuns } from './compare/runs.ts'
export { locateRows, orderByIdHash, readRowsById } from './compare/sample.ts'
export { compareVersions, type VersionComparison } from './compare/versions.ts'
export { type GateOptions, type GateSetup, resolveGates, storeQueries } from './gate-setup.ts'
export type { Gate } from './gates.ts'
export {
  type ExamineOptions,
  examineEmbedder,
  examineIndex,
  type Finding,
  type FindingKind,
  type IndexReader,
  type IndexReport,
  type IndexRow,
  type IndexSelection,
} from './index-doctor/examine.ts'
export { evaluateGates } from './judge-gates.ts'
export { type EvaluationQuery, embedQueries, type JudgedQueryFiles, queriesOf } from './judged-queries.ts'
export { textsOf } from './nearest.ts'
export { comparePreview, type PreviewComparison, type PreviewScore } from './preview-scores.ts'
export { type FoundReject, type ReadRejectsOptions, readRejects } from './read-rejects.ts'
export { measureRecall, type Recall, type RecallOptions } from './recall.ts'
export { type ScoredRun, type ScoreRequest, scoreRun } from './score-run.ts'
export { type SearchHit, type SearchRequest, searchRun } from './search.ts'
export { type Audit, createAudit, type LocatedReject, manifestShardOf } from './verify/audit.ts'
export { openBuckets, wordsOf } from './verify/buckets.ts'
export { type PlannedShard, plannedShards, requireShardExists } from './verify/planned-shards.ts'
export { requireUniqueIds } from './verify/unique-ids.ts'
export { type Verification, type VerifyOptions, verify } from './verify/verify.ts'
