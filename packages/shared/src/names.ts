// Every key, id and file name that reembed makes is made here, and depends on nothing but its arguments.

import { hash } from 'node:crypto'

/** `runs/<run>/plan.json` and its segments. */
export const planKey = (run: string): string => `runs/${run}/plan.json`
export const planSegmentKey = (run: string, segment: number): string =>
  `runs/${run}/plan-${digits(segment, 5)}.json.gz`

export const manifestKey = (run: string): string => `runs/${run}/manifest.json`
export const manifestSegmentKey = (run: string, segment: number): string =>
  `runs/${run}/manifest-${digits(segment, 5)}.json.gz`
/** `runs/<run>/rejects.jsonl`, and where there are very many `rejects-00001.jsonl` and so on after it. */
export const rejectsKey = (run: string, segment = 0): string =>
  `runs/${run}/rejects${segment === 0 ? '' : `-${digits(segment, 5)}`}.jsonl`

/** `runs/<run>/queries.json.gz`: the user's queries as the run's model embeds them, where it has gates that need them. */
export const queriesKey = (run: string): string => `runs/${run}/queries.json.gz`

/** `runs/<run>/gates-<run that it would replace, or none>.json`: what its gates said. */
export const gatesKey = (run: string, against: string | undefined): string =>
  `${gatesPrefix(run)}${against ?? 'none'}.json`
export const gatesPrefix = (run: string): string => `runs/${run}/gates-`

/** `runs/<run>/state/<10^20 - 1 - n>.json`: the newest word about a run is the first key of a LIST. */
export const runStateKey = (run: string, number: number): string =>
  `${runStatePrefix(run)}${inverted(number)}.json`
export const runStatePrefix = (run: string): string => `runs/${run}/state/`

/** `runs/<run>/data/part-00017-of-00042.parquet`: the count is fixed at plan time, so the name is too. */
export const shardKey = (run: string, shard: number, shards: number): string =>
  `${shardPrefix(run)}part-${digits(shard, 5)}-of-${digits(shards, 5)}.parquet`
export const shardPrefix = (run: string): string => `runs/${run}/data/`

/** The number of the shard that a key names, or undefined if the key is no shard of a run of `shards`. */
export function shardOfKey(key: string, run: string, shards: number): number | undefined {
  const match = /part-(\d{5,})-of-\d{5,}\.parquet$/.exec(key)
  const shard = Number(match?.[1])
  return match && shard < shards && key === shardKey(run, shard, shards) ? shard : undefined
}

/** `seq/<n>.json`, padded so that a LIST gives the order of runs. */
export const seqKey = (seq: number): string => `seq/${digits(seq, 12)}.json`
export const seqOfKey = (key: string): number => Number(/(\d{12})\.json$/.exec(key)?.[1] ?? Number.NaN)

/** `versions/<10^20 - 1 - n>.json`: the newest version is the first key of a LIST. */
const INVERT = 10n ** 20n - 1n
export const versionKey = (version: number): string => `versions/${inverted(version)}.json`
const inverted = (n: number): string => (INVERT - BigInt(n)).toString().padStart(20, '0')

/** `models/<model@revision>.json`; characters that some stores dislike are replaced, a hash keeps names apart. */
export function modelKey(id: string, revision: string | null): string {
  const name = `${id}@${revision ?? 'unstated'}`
  const plain = name.replace(/[^A-Za-z0-9._@-]+/g, '--').replace(/^[.-]+/, '')
  return `models/${plain.slice(0, 100)}-${sha256(name).slice(0, 8)}.json`
}

/** `tokenizers/<sha256>.json`: the tokenizer that chunks of a run were counted with. */
export const tokenizerKey = (sha256: string): string => `tokenizers/${sha256}.json`

/** `ticks/<schedule>/since.json`: from when on a schedule's ticks count. */
export const ticksSinceKey = (schedule: string): string => `ticks/${schedule}/since.json`

/** `ticks/<schedule>/20261122T030000Z.json`, in UTC; a tick that was taken and never settled is taken again as `….1.json`. */
export const tickKey = (schedule: string, atMs: number, attempt = 0): string =>
  `ticks/${schedule}/${compactTime(atMs)}${attempt === 0 ? '' : `.${attempt}`}.json`

/** What became of a tick. */
export const tickDoneKey = (schedule: string, atMs: number): string =>
  `ticks/${schedule}/${compactTime(atMs)}.done.json`

const compactTime = (ms: number): string =>
  new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:]/g, '')

/** A short id that depends on all of `value` and nothing else: 26 characters, a to z and 2 to 7. */
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

export const isRunId = (name: string): boolean => /^[a-z2-7]{26}$/.test(name)

/** 64 bits of the SHA-256 of a document's id. */
export const hashOfId = (id: string): bigint => hash('sha256', id, 'buffer').readBigUInt64LE(0)

/** JSON with sorted keys and no spaces: equal values give equal bytes. Undefined members are left out. */
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

/** SHA-256 in hex. */
export const sha256 = (data: string | Uint8Array): string => hash('sha256', data)

const digits = (n: number, width: number): string => String(n).padStart(width, '0')
