// The public surface of @reembed/shared; every other file is private to the package.

export { codeOf, ERROR_CODES, type ErrorCode, EXIT, messageOf, ReembedError, type Retry } from './errors.ts'
export { isLinkLocal } from './link-local.ts'
export { isLoopback, type ListenAddress, listenOn, parseListen } from './listen.ts'
export {
  canonical,
  gatesKey,
  gatesPrefix,
  hashOfId,
  idOf,
  isRunId,
  manifestKey,
  manifestSegmentKey,
  modelKey,
  planKey,
  planSegmentKey,
  queriesKey,
  rejectsKey,
  runStateKey,
  runStatePrefix,
  seqKey,
  seqOfKey,
  sha256,
  shardKey,
  shardOfKey,
  shardPrefix,
  tickDoneKey,
  tickKey,
  ticksSinceKey,
  tokenizerKey,
  versionKey,
} from './names.ts'
export {
  bool,
  count,
  either,
  format1,
  is,
  list,
  none,
  object,
  oneOf,
  optional,
  positive,
  record,
  requireShape,
  type Shape,
  text,
} from './shape.ts'
export { batched, mapConcurrent } from './streams.ts'
export { allEqual, badRowsOf, cosine, NORM_TOLERANCE, normOf } from './vectors.ts'
