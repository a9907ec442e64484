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
  /** Characters of an output's URL in a job. */
  readonly outputCharacters: number
  /** Workers of a queue whose heartbeats are read. */
  readonly heartbeats: number
  /** Characters of a heartbeat. */
  readonly heartbeatCharacters: number
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
  outputCharacters: 4 * KIB,
  heartbeats: 10_000,
  heartbeatCharacters: 64 * KIB,
  hubReplyBytes: 32 * MIB,
  sinkReplyBytes: 32 * MIB,
  logCharacters: 4 * KIB,
}
