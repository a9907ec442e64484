// The public API of @reembed/shared; every other file is private to the package.

export { type Clock, systemClock } from './clock.ts'
export { collapsedTexts, type ModelLimits, type SentTexts } from './collapsed.ts'
export { constantTimeEqual } from './constant-time.ts'
export {
  bodyMs,
  type DeadlineOptions,
  type Deadlines,
  deadlines,
  startWait,
  type Wait,
  type WaitNotice,
  withDeadlines,
} from './deadlines.ts'
export {
  codeOf,
  ERROR_CODES,
  type ErrorCode,
  EXIT,
  type Fault,
  faultOf,
  messageOf,
  openFilesReason,
  ReembedError,
  type Retry,
} from './errors.ts'
export { isHuggingFaceHost, type Tokens, tokenFor } from './hugging-face.ts'
export { createIdHash, type IdHash } from './id-hash.ts'
export { importClient } from './import-client.ts'
export { interruptAfter } from './interrupt-after.ts'
export {
  createHttpClient,
  type HttpClient,
  httpAddress,
  REPLY_TOO_LONG,
  requireEncrypted,
} from './json-client.ts'
export { LIMITS, type Limits } from './limits.ts'
export { isLinkLocal } from './link-local.ts'
export { createBoundedServer, isLoopback, type ListenAddress, listenOn, parseListen } from './listen.ts'
export { decompressLz4Frame } from './lz4.ts'
export { createMemo, type Memo, type MemoOptions } from './memo.ts'
export {
  canonical,
  checkpointKey,
  checkpointPrefix,
  DELETED_BLOCK,
  evaluationKey,
  gatesKey,
  gatesPrefix,
  hashOfId,
  idOf,
  isRunId,
  loadedShardKey,
  loadedShardPrefix,
  loadKey,
  loadOrderKey,
  loadOrderPrefix,
  manifestKey,
  manifestSegmentKey,
  measuredTokenizerKey,
  modelKey,
  planKey,
  planSegmentKey,
  previewKey,
  previewPrefix,
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
  TABLES,
  tablePrefix,
  tickDoneKey,
  tickKey,
  ticksSinceKey,
  tokenizerKey,
  versionKey,
} from './names.ts'
export { readHybridRun } from './parquet-runs.ts'
export { printable, printableLines, shellWord } from './printable.ts'
export { type ProxyEnv, proxyEnv } from './proxy.ts'
export { readFileWithin } from './read-file.ts'
export { release } from './release.ts'
export { resolveHost } from './resolve-host.ts'
export {
  amount,
  bool,
  count,
  either,
  filled,
  filledText,
  finite,
  format1,
  is,
  list,
  mapOf,
  none,
  oneOf,
  optional,
  positive,
  record,
  requireShape,
  type Shape,
  text,
  time,
} from './shape.ts'
export { closestMatch } from './similar.ts'
export { type RetryOptions, withRetries } from './sink-retries.ts'
export { batched, mapConcurrent, readBounded } from './streams.ts'
export { createTimeLimit, seconds, type TimeLimit, unlessAborted, within } from './time-limit.ts'
export { absoluteUrl, isUrl, maskPasswords } from './url.ts'
export { badRowsOf, cosine, NORM_TOLERANCE, normOf } from './vectors.ts'
