// Keys and ids of everything that reembed writes to an output. Each function is pure: the result
// depends only on the arguments, so concurrent writers derive the same key.

import { hash } from 'node:crypto'

/** `runs/<run>/plan.json` and its segments. */
export const planKey = (run: string): string => `runs/${run}/plan.json`
export const planSegmentKey = (run: string, segment: number): string =>
  `runs/${run}/plan-${digits(segment, 5)}.json.gz`

export const manifestKey = (run: string): string => `runs/${run}/manifest.json`
export const manifestSegmentKey = (run: string, segment: number): string =>
  `runs/${run}/manifest-${digits(segment, 5)}.json.gz`
/** `runs/<run>/rejects.jsonl`; further segments are `rejects-00001.jsonl` and so on. */
export const rejectsKey = (run: string, segment = 0): string =>
  `runs/${run}/rejects${segment === 0 ? '' : `-${digits(segment, 5)}`}.jsonl`

/** `runs/<run>/queries.json.gz`: query vectors of the run's model, for gates that search. */
export const queriesKey = (run: string): string => `runs/${run}/queries.json.gz`

/**
 * `runs/<run>/gates-<current run, or none>.json`: the gate results of `run` against the run that it
 * would replace.
 */
export const gatesKey = (run: string, against: string | undefined): string =>
  `${gatesPrefix(run)}${against ?? 'none'}.json`
export const gatesPrefix = (run: string): string => `runs/${run}/gates-`

/**
 * `runs/<run>/evaluation-<hash>.json`: the scores of a run with the queries and judgements of this
 * hash.
 */
export const evaluationKey = (run: string, queriesSha256: string): string =>
  `runs/${run}/evaluation-${queriesSha256.slice(0, 16)}.json`

/**
 * `runs/<run>/state/<10^20 - 1 - n>.json`: the first key of a LIST is the latest run state record.
 */
export const runStateKey = (run: string, number: number): string =>
  `${runStatePrefix(run)}${inverted(number)}.json`
export const runStatePrefix = (run: string): string => `runs/${run}/state/`

/**
 * `runs/<run>/data/part-00017-of-00042.parquet`. The plan fixes the number of shards, and so the
 * name.
 */
export const shardKey = (run: string, shard: number, shards: number): string =>
  `${shardPrefix(run)}part-${digits(shard, 5)}-of-${digits(shards, 5)}.parquet`
export const shardPrefix = (run: string): string => `runs/${run}/data/`

/**
 * `runs/<run>/checkpoints/part-00017-of-00042-<id>.rows`: rows of a shard whose job was
 * interrupted. Not `.parquet`, so that a reader by glob does not take them for rows of the run.
 */
export const checkpointKey = (run: string, shard: number, shards: number, id: string): string =>
  `${checkpointPrefix(run, shard, shards)}${id}.rows`
/** The prefix of the checkpoints of one shard. */
export const checkpointPrefix = (run: string, shard: number, shards: number): string =>
  `runs/${run}/checkpoints/part-${digits(shard, 5)}-of-${digits(shards, 5)}-`

/**
 * The shard number in a key, or undefined if the key is not a shard of a run with `shards` shards.
 */
export function shardOfKey(key: string, run: string, shards: number): number | undefined {
  const match = /part-(\d{5,})-of-\d{5,}\.parquet$/.exec(key)
  const shard = Number(match?.[1])
  return match && shard < shards && key === shardKey(run, shard, shards) ? shard : undefined
}

/** `loads/<10^20 - 1 - n>.json`: the first key of a LIST is the newest record of a vector store. */
export const loadKey = (number: number): string => `loads/${inverted(number)}.json`

/** `runs/<run>/loads/<load>/part-00017-of-00042.json`: a shard that a vector store has taken. */
export const loadedShardKey = (run: string, load: string, shard: number, shards: number): string =>
  `${loadedShardPrefix(run, load)}part-${digits(shard, 5)}-of-${digits(shards, 5)}.json`
/** The prefix of the shards of one load. */
export const loadedShardPrefix = (run: string, load: string): string => `runs/${run}/loads/${load}/`

/** `runs/<run>/load-orders/<load>.json`: what a load writes, and where. */
export const loadOrderKey = (run: string, load: string): string => `${loadOrderPrefix(run)}${load}.json`
/** The prefix of the orders of a run's loads. */
export const loadOrderPrefix = (run: string): string => `runs/${run}/load-orders/`

/**
 * `tables/<name>-<hash>/`: the blocks of a table of a database, which runs read as their source.
 */
export const TABLES = 'tables/'
/** The end of the mark of a block that gc deletes or has deleted: its key is not used again. */
export const DELETED_BLOCK = '.deleted'
/**
 * The folder of a table. It holds `<first row>-<hash of the rows>.jsonl`, write-once, and
 * marks of deleted ones.
 */
export const tablePrefix = (address: string, table: string): string =>
  `${TABLES}${table.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 60)}-${sha256([address, table].join('\n')).slice(0, 12)}/`

/** `runs/<run>/previews/<10^20 - 1 - n>.json`: the first key of a LIST is the newest preview. */
export const previewKey = (run: string, number: number): string =>
  `${previewPrefix(run)}${inverted(number)}.json`
/** The prefix of the previews that were compared with a run. */
export const previewPrefix = (run: string): string => `runs/${run}/previews/`

/** `seq/<n>.json`, padded so that a LIST returns sequence numbers in ascending order. */
export const seqKey = (seq: number): string => `seq/${digits(seq, 12)}.json`
export const seqOfKey = (key: string): number => Number(/(\d{12})\.json$/.exec(key)?.[1] ?? Number.NaN)

/** `versions/<10^20 - 1 - n>.json`: the first key of a LIST is the newest version. */
const INVERT = 10n ** 20n - 1n
export const versionKey = (version: number): string => `versions/${inverted(version)}.json`
const inverted = (n: number): string => (INVERT - BigInt(n)).toString().padStart(20, '0')

/**
 * `models/<model@revision>-<hash>.json`. Characters that not every store accepts are replaced; the
 * hash keeps names distinct that are equal after the replacement.
 */
export const modelKey = (id: string, revision: string | null): string => `models/${modelFile(id, revision)}`

function modelFile(id: string, revision: string | null): string {
  const name = `${id}@${revision ?? 'unstated'}`
  const plain = name.replace(/[^A-Za-z0-9._@-]+/g, '--').replace(/^[.-]+/, '')
  return `${plain.slice(0, 100)}-${sha256(name).slice(0, 8)}.json`
}

/** `tokenizers/<sha256>.json`: a tokenizer that runs with chunking use. */
export const tokenizerKey = (sha256: string): string => `tokenizers/${sha256}.json`

/** `tokenizers/measured/<model@revision>-<hash>.json`: what the first run of the model measured. */
export const measuredTokenizerKey = (id: string, revision: string | null): string =>
  `tokenizers/measured/${modelFile(id, revision)}`

/** `ticks/<schedule>/since.json`: the time from which the schedule's ticks are due. */
export const ticksSinceKey = (schedule: string): string => `ticks/${schedule}/since.json`

/**
 * `ticks/<schedule>/20261122T030000Z.json`, in UTC: the claim on a tick. When a claim has no
 * outcome after its deadline, the next attempt claims the tick as `<time>.1.json`.
 */
export const tickKey = (schedule: string, atMs: number, attempt = 0): string =>
  `ticks/${schedule}/${compactTime(atMs)}${attempt === 0 ? '' : `.${attempt}`}.json`

/** `ticks/<schedule>/20261122T030000Z.done.json`: the outcome of a tick. */
export const tickDoneKey = (schedule: string, atMs: number): string =>
  `ticks/${schedule}/${compactTime(atMs)}.done.json`

const compactTime = (ms: number): string =>
  new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:]/g, '')

/**
 * A deterministic id of `value`: 130 bits of the SHA-256 of its canonical JSON, as 26 characters
 * a-z and 2-7.
 */
export function idOf(value: unknown): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  let id = ''
  let bits = 0
  let held = 0
  for (const byte of hash('sha256', canonical(value), 'buffer')) {
    held = ((held << 8) | byte) & 0xffff
    bits += 8
    while (bits >= 5 && id.length < 26) {
      bits -= 5
      id += alphabet[(held >> bits) & 31]
    }
  }
  return id
}

/** Whether `name` has the form of an id from `idOf`. */
export const isRunId = (name: string): boolean => /^[a-z2-7]{26}$/.test(name)

/** The first 64 bits (little-endian) of the SHA-256 of a document id. */
export const hashOfId = (id: string): bigint => hash('sha256', id, 'buffer').readBigUInt64LE(0)

/**
 * Canonical JSON: sorted keys, no spaces, undefined members omitted. Equal values give equal bytes.
 * @throws TypeError for undefined
 */
export function canonical(value: unknown): string {
  if (value === undefined) throw new TypeError('canonical() got undefined')
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  let members = ''
  for (const key of Object.keys(value).sort()) {
    const member = (value as Record<string, unknown>)[key]
    if (member !== undefined) members += `${members && ','}${JSON.stringify(key)}:${canonical(member)}`
  }
  return `{${members}}`
}

/** SHA-256 as lowercase hex. */
export const sha256 = (data: string | Uint8Array): string => hash('sha256', data)

const digits = (n: number, width: number): string => String(n).padStart(width, '0')
