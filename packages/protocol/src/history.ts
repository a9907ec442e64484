// The sequence of runs and the published versions. Both are write-once keys that contain a number,
// so put-if-absent decides the next number. Clocks decide nothing: times are for display.

import {
  count,
  filledText,
  LIMITS,
  list,
  mapConcurrent,
  oneOf,
  optional,
  positive,
  ReembedError,
  record,
  seqKey,
  seqOfKey,
  text,
  versionKey,
} from '@reembed/shared'
import { type ListedObject, objectKind, type Store } from '@reembed/store'
import { type Attribution, attributionFields, stamped } from './attribution.ts'

/** How a version was published: because the run was due, despite reasons, or again. */
export type VersionAction = 'publish' | 'force' | 'rollback'

/** A published run. The newest version is the current one. */
export interface Version extends Attribution {
  readonly version: number
  readonly run: string
  /**
   * Increases with every version, rollbacks included, so that an older run that ends late is not
   * published.
   */
  readonly seq: number
  readonly manifestSha256: string
  /** Undefined in versions of reembed 0.1. */
  readonly action?: VersionAction | undefined
  /** The reasons against publication that the user overrode. */
  readonly overriddenReasons?: readonly string[] | undefined
  /** The gates that had nothing to compare with, each with its message. */
  readonly unjudgedGates?: readonly string[] | undefined
}

/** The sequence number of a run. */
export interface SeqEntry {
  readonly seq: number
  readonly run: string
  /** When the run took the number, if the store reports it. */
  readonly plannedMs?: number | undefined
}

/**
 * Reads the current version; undefined if none is published. One LIST: the newest key comes first.
 */
export async function readCurrent(store: Store): Promise<Version | undefined> {
  for await (const { key } of store.list('versions/')) return readVersion(store, key)
  return undefined
}

/** Yields all versions, newest first, with the time of publication if the store reports it. */
export async function* readVersions(
  store: Store,
): AsyncGenerator<Version & { readonly publishedMs?: number | undefined }, void, undefined> {
  for await (const { key, modifiedMs } of store.list('versions/')) {
    yield { ...(await readVersion(store, key)), publishedMs: modifiedMs }
  }
}

/**
 * Writes a version with the present time. Returns 'exists' if a concurrent writer has published
 * this version number.
 */
export function putVersion(store: Store, version: Version): Promise<'created' | 'exists'> {
  return versions.put(store, versionKey(version.version), stamped(version))
}

/** Assigns the next sequence number to `run`. A sequence number without a plan is harmless. */
export async function takeSeq(store: Store, run: string): Promise<number> {
  let seq = 1
  for await (const { key } of store.list('seq/')) seq = seqOfKey(key) + 1
  while ((await sequence.put(store, seqKey(seq), { run })) === 'exists') seq += 1
  return seq
}

/** Reads the sequence numbers above `after` (default 0: all), in descending order. */
export async function readSeq(
  store: Store,
  { after = 0 }: { after?: number | undefined } = {},
): Promise<SeqEntry[]> {
  const entries: SeqEntry[] = []
  const read = async ({ key, modifiedMs }: ListedObject): Promise<SeqEntry | undefined> => {
    const found = await sequence.read(store, key)
    // Deleted between LIST and read.
    return found && { seq: seqOfKey(key), run: found.run, plannedMs: modifiedMs }
  }
  const listed = atMost(store, store.list('seq/', { startAfter: seqKey(after) }))
  for await (const entry of mapConcurrent(listed, read, { concurrency: READS_AT_ONCE }))
    if (entry) entries.push(entry)
  return entries.reverse()
}

/** When a run took its sequence number, in Unix milliseconds, if the store reports it. */
export async function readPlannedMs(store: Store, seq: number): Promise<number | undefined> {
  for await (const { key, modifiedMs } of store.list('seq/', { startAfter: seqKey(seq - 1) }))
    return key === seqKey(seq) ? modifiedMs : undefined
  return undefined
}

const READS_AT_ONCE = 16

async function* atMost(
  store: Store,
  objects: AsyncIterable<ListedObject>,
): AsyncGenerator<ListedObject, void, undefined> {
  let count = 0
  for await (const each of objects) {
    if (++count > LIMITS.sequenceNumbers)
      throw new ReembedError(
        'CORRUPT',
        `${store.url} has more than ${LIMITS.sequenceNumbers} objects below seq/, which no history of runs has: check what wrote them`,
      )
    yield each
  }
}

const sequence = objectKind<{ readonly run: string }>({
  noun: 'a sequence entry that reembed wrote',
  shape: record<{ run: string }>({ run: filledText }),
})

const ACTIONS: readonly VersionAction[] = ['publish', 'force', 'rollback']

const versions = objectKind<Version>({
  noun: 'a version that reembed published',
  shape: record<Version>({
    version: positive,
    run: filledText,
    seq: count,
    manifestSha256: text,
    action: optional(oneOf(ACTIONS)),
    overriddenReasons: optional(list(text)),
    unjudgedGates: optional(list(text)),
    ...attributionFields,
  }),
  check: ({ version }, key) => (versionKey(version) === key ? undefined : `it contains version ${version}`),
})

async function readVersion(store: Store, key: string): Promise<Version> {
  const version = await versions.read(store, key)
  if (version) return version
  throw new ReembedError('CORRUPT', `${key} in ${store.url} was deleted while it was read: restore it`)
}
