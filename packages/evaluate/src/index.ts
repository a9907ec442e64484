// The public surface of @reembed/evaluate; every other file is private to the package.

export { createRanges } from './collapsed.ts'
export {
  evaluateRows,
  type JudgedQuery,
  pairedDrop,
  putQueries,
  type QueryVector,
  readQueries,
  type Scores,
} from './compare/evaluate.ts'
export { compareRows, type Health, healthOf, mean, type Rows, type RowsCompared } from './compare/rows.ts'
export { type CompareOptions, type Comparison, compareRuns } from './compare/runs.ts'
export { locateRows, rowsOfIds, shuffled } from './compare/sample.ts'
export { type Gate, judge, needsQueries, parseGate, type Verdict } from './gates.ts'
export { nearest, textsOf } from './nearest.ts'
export { measureRecall, type Recall, type RecallOptions } from './recall.ts'
