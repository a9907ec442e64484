// Every limit of packages/shared/src/limits.ts, with what proves it: a case of an input that is
// larger than memory, or a trial at the limit and beyond it. The type requires an entry for each
// limit; test/caps.test.ts finds limits that are stated elsewhere.

import type { Limits } from '@reembed/shared'
import * as http from './http-caps.ts'
import * as redis from './redis-caps.ts'
import * as sources from './source-caps.ts'

/** What is tried at the limit and beyond it, and what must answer. */
export interface CapTrial {
  readonly what: string
  /** The outcomes at the limit and beyond it, one line each. */
  run(): Promise<readonly string[]>
  readonly outcomes: readonly RegExp[]
  /** Peak memory of the process, in MiB. */
  readonly most: number
}

export type Cap =
  /** A case of cases.ts: far beyond the limit, or at it with the largest memory. */
  { readonly cases: readonly string[] } | CapTrial

export const CAPS: Readonly<Record<keyof Limits, Cap>> = {
  recordBytes: { cases: ['record'] },
  rowsBytes: { cases: ['rows'] },
  jsonDepth: { cases: ['depth'] },
  footerBytes: sources.footerBytes,
  tokenizerBytes: sources.tokenizerBytes,
  shards: { cases: ['shards'] },
  sequenceNumbers: { cases: ['sequence'] },
  redisReplyBytes: redis.redisReplyBytes,
  redisFieldBytes: redis.redisFieldBytes,
  redisHashBytes: redis.redisHashBytes,
  jobBytes: redis.jobBytes,
  jobIdBytes: redis.jobIdBytes,
  listedJobs: redis.listedJobs,
  outputCharacters: redis.outputCharacters,
  heartbeats: redis.heartbeats,
  heartbeatBytes: redis.heartbeatBytes,
  hubReplyBytes: http.hubReplyBytes,
  sinkReplyBytes: http.sinkReplyBytes,
  logCharacters: sources.logCharacters,
  sourceRecordBytes: { cases: ['line'] },
  sourceIdBytes: sources.sourceIdBytes,
  sourceJsonDepth: sources.sourceJsonDepth,
  parquetFooterBytes: sources.parquetFooterBytes,
  parquetHeaderBytes: sources.parquetHeaderBytes,
  pageBytes: { cases: ['page'] },
  pageValues: { cases: ['nulls'] },
  pageTexts: { cases: ['texts'] },
  rowEntries: sources.rowEntries,
  arrowMetadataBytes: sources.arrowMetadataBytes,
  arrowBatchBytes: { cases: ['batch'] },
  unpackRatio: { cases: ['gzip', 'zstd'] },
  tableFiles: sources.tableFiles,
  queriesBytes: sources.queriesBytes,
  configBytes: sources.configBytes,
  promptsBytes: sources.promptsBytes,
  replyBytes: http.replyBytes,
  endpointErrorBytes: http.endpointErrorBytes,
  connections: http.connections,
  headerBytes: http.headerBytes,
  hookBodyBytes: http.hookBodyBytes,
  hookBodies: http.hookBodies,
  hookDeliveries: http.hookDeliveries,
  formBytes: http.formBytes,
  queryCharacters: http.queryCharacters,
  sessions: http.sessions,
  eventReaders: http.eventReaders,
  unsentBytes: http.unsentBytes,
}
