// What reembed accepts of data that another party can write: to an output, to Redis, to a server's
// reply. Everything beyond is refused before it is held. docs/operate.md has the same table.

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
}
