// The public surface of @reembed/evaluate; every other file is private to the package.

export { createDimensionRanges } from './collapsed-dimensions.ts'
export {
  evaluateRows,
  type JudgedQuery,
  pairedDrop,
  putQueries,
  type QueryVector,
  readQueries,
  type Scores,
} from './compare/evaluate.ts'
export { compareRows, type Health, healthOf, mean, type RowComparison, type Rows } from './compare/rows.ts'
export { type CompareOptions, type Comparison, compareRuns } from './compare/runs.ts'
export { locateRows, orderByIdHash, readRowsById } from './compare/sample.ts'
export { evaluateGates, type Gate, type GateResult, needsQueries, parseGate } from './gates.ts'
export {
  type EvaluationQuery,
  embedQueries,
  hashOfQueries,
  type JudgedQueryFiles,
  queriesOf,
  readJudgedQueries,
} from './judged-queries.ts'
export { nearest, textsOf } from './nearest.ts'
export { measureRecall, type Recall, type RecallOptions } from './recall.ts'
