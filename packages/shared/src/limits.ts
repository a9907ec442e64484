// What reembed accepts of data that another party can write: to an output, to Redis, to a corpus,
// to a request, to a server's reply. Everything beyond is refused before it is held.
// docs/operate.md has the same table, and `npm run caps` tries each.

export interface Limits {
  /** Bytes of a JSON object of an output: plan, manifest, version, run state record. */
  readonly recordBytes: number
  /** Bytes of a list of rows, packed or unpacked: a segment of slices, of shards, query vectors. */
  readonly rowsBytes: number
  /** Nested arrays and objects in JSON of an output. */
  readonly jsonDepth: number
  /** Bytes of a shard's footer, receipt and rejects included. */
  readonly footerBytes: number
  /** Bytes of a tokenizer.json. */
  readonly tokenizerBytes: number
  /** Shards of a run. Job ids hold seven digits, so that they sort by shard. */
  readonly shards: number
  /** Sequence numbers of an output that a command reads. */
  readonly sequenceNumbers: number
  /** Bytes of a reply of Redis, whatever its command. */
  readonly redisReplyBytes: number
  /** Bytes of a field of a hash in Redis, and of its name: a reason, a time, a state. */
  readonly redisFieldBytes: number
  /** Bytes of all values that are read of one hash in Redis. */
  readonly redisHashBytes: number
  /** Bytes of a job in Redis, with its options and its last error. */
  readonly jobBytes: number
  /** Bytes of the id of a job. */
  readonly jobIdBytes: number
  /** Jobs of a state, and unfinished shards of a run, whose ids are read. */
  readonly listedJobs: number
  /** Characters of an output's URL in a job. */
  readonly outputCharacters: number
  /** Workers of a queue whose heartbeats are read. */
  readonly heartbeats: number
  /** Bytes of a heartbeat. */
  readonly heartbeatBytes: number
  /** Bytes of a reply of the Hugging Face Hub or of its management API. */
  readonly hubReplyBytes: number
  /** Bytes of a reply of a vector store. */
  readonly sinkReplyBytes: number
  /** Characters of a message and of each field in a line of the log. */
  readonly logCharacters: number
  /** Bytes of a record of a source: a line, a row, a file that is one document. */
  readonly sourceRecordBytes: number
  /** Bytes of the id of a document. */
  readonly sourceIdBytes: number
  /** Nested arrays and objects in a line of JSONL. */
  readonly sourceJsonDepth: number
  /** Bytes of the footer of a Parquet file of a source. */
  readonly parquetFooterBytes: number
  /** Bytes of the header of a Parquet page. */
  readonly parquetHeaderBytes: number
  /** Bytes of a Parquet page, unpacked. */
  readonly pageBytes: number
  /** Values of a Parquet page. */
  readonly pageValues: number
  /** Texts of a Parquet page that are in no dictionary. */
  readonly pageTexts: number
  /** Entries of the lists in a row of a Parquet file. */
  readonly rowEntries: number
  /** Bytes of the metadata of an Arrow message. */
  readonly arrowMetadataBytes: number
  /** Bytes of an Arrow batch, unpacked. */
  readonly arrowBatchBytes: number
  /** Bytes that a compressed byte of a source may unpack to, beyond the first 64 MiB. */
  readonly unpackRatio: number
  /** Data files of a Delta Lake table. */
  readonly tableFiles: number
  /** Bytes of a file of judged queries or judgements. */
  readonly queriesBytes: number
  /** Bytes of reembed.yaml. */
  readonly configBytes: number
  /** Bytes of the file of a model that documents its prompts. */
  readonly promptsBytes: number
  /** Bytes of a reply of an endpoint. */
  readonly replyBytes: number
  /** Bytes of an error of an endpoint that are read. */
  readonly endpointErrorBytes: number
  /** Connections to the server of hooks, metrics or the console. */
  readonly connections: number
  /** Bytes of the headers of a request to such a server. */
  readonly headerBytes: number
  /** Bytes of the body of a hook. */
  readonly hookBodyBytes: number
  /** Bodies of hooks that are read at the same time. */
  readonly hookBodies: number
  /** Signed deliveries of hooks that are remembered. */
  readonly hookDeliveries: number
  /** Bytes of a form of the console. */
  readonly formBytes: number
  /** Characters of a search in the console. */
  readonly queryCharacters: number
  /** Sessions of the console. */
  readonly sessions: number
  /** Pages of the console that are kept up to date. */
  readonly eventReaders: number
  /** Bytes that such a page may leave unread. */
  readonly unsentBytes: number
}

const KIB = 1024
const MIB = 1024 * KIB

export const LIMITS: Limits = {
  recordBytes: 16 * MIB,
  rowsBytes: 128 * MIB,
  jsonDepth: 64,
  footerBytes: 256 * MIB,
  tokenizerBytes: 64 * MIB,
  shards: 10_000_000,
  sequenceNumbers: 100_000,
  redisReplyBytes: 16 * MIB,
  redisFieldBytes: 64 * KIB,
  redisHashBytes: 64 * MIB,
  jobBytes: 256 * KIB,
  jobIdBytes: 256,
  listedJobs: 10_000,
  outputCharacters: 4 * KIB,
  heartbeats: 10_000,
  heartbeatBytes: 64 * KIB,
  hubReplyBytes: 32 * MIB,
  sinkReplyBytes: 32 * MIB,
  logCharacters: 4 * KIB,
  sourceRecordBytes: 8 * MIB,
  sourceIdBytes: KIB,
  sourceJsonDepth: 64,
  parquetFooterBytes: 64 * MIB,
  parquetHeaderBytes: 16 * MIB,
  pageBytes: 128 * MIB,
  pageValues: 4 * MIB,
  pageTexts: MIB,
  rowEntries: 4 * MIB,
  arrowMetadataBytes: 64 * MIB,
  arrowBatchBytes: 128 * MIB,
  unpackRatio: 250,
  tableFiles: 1_000_000,
  queriesBytes: 64 * MIB,
  configBytes: MIB,
  promptsBytes: MIB,
  replyBytes: 64 * MIB,
  endpointErrorBytes: 4 * KIB,
  connections: 64,
  headerBytes: 8 * KIB,
  hookBodyBytes: MIB,
  hookBodies: 8,
  hookDeliveries: 10_000,
  formBytes: 8 * KIB,
  queryCharacters: 1_000,
  sessions: 1_000,
  eventReaders: 200,
  unsentBytes: 4 * MIB,
}
