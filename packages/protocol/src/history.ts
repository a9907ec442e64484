// The sequence of runs and the published versions. Both are write-once keys that contain a number,
// so put-if-absent decides the next number and no clock is involved.

import {
  count,
  list,
  optional,
  positive,
  ReembedError,
  record,
  requireShape,
  seqKey,
  seqOfKey,
  text,
  versionKey,
} from '@reembed/shared'
import { getJson, putJson, type Store } from '@reembed/store'

/** A published run. The newest version is the current one. */
export interface Version {
  readonly version: number
  readonly run: string
  /**
   * Increases with every version, rollbacks included, so that an older run that ends late is not
   * published.
   */
  readonly seq: number
  readonly manifestSha256: string
  /** The reasons against publication that the user overrode. */
  readonly overriddenReasons?: readonly string[] | undefined
}

/** The sequence number of a run. */
export interface SeqEntry {
  readonly seq: number
  readonly run: string
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

/** Writes a version. Returns 'exists' if a concurrent writer has published this version number. */
export function putVersion(store: Store, version: Version): Promise<'created' | 'exists'> {
  return putJson(store, versionKey(version.version), { format: 1, ...version })
}

/** Assigns the next sequence number to `run`. A sequence number without a plan is harmless. */
export async function takeSeq(store: Store, run: string): Promise<number> {
  let seq = 1
  for await (const { key } of store.list('seq/')) seq = seqOfKey(key) + 1
  while ((await putJson(store, seqKey(seq), { format: 1, run })) === 'exists') seq += 1
  return seq
}

/** Reads the sequence numbers above `after` (default 0: all), in descending order. */
export async function readSeq(
  store: Store,
  { after = 0 }: { after?: number | undefined } = {},
): Promise<SeqEntry[]> {
  const entries: SeqEntry[] = []
  for await (const { key } of store.list('seq/', { startAfter: seqKey(after) })) {
    const found = await getJson(store, key)
    // Deleted between LIST and read.
    if (found === undefined) continue
    const what = `${key} in ${store.url} is not a sequence entry that reembed wrote`
    const { run } = requireShape<{ run: string }>(seqShape, found, what)
    entries.unshift({ seq: seqOfKey(key), run })
  }
  return entries
}

const seqShape = record<{ run: string }>({ run: text })

const versionShape = record<Version>({
  version: positive,
  run: text,
  seq: count,
  manifestSha256: text,
  overriddenReasons: optional(list(text)),
})

async function readVersion(store: Store, key: string): Promise<Version> {
  const what = `${key} in ${store.url} is not a version that reembed published`
  const version = requireShape<Version>(versionShape, await getJson(store, key), what)
  if (versionKey(version.version) === key) return version
  throw new ReembedError('CORRUPT', `${what}: it contains version ${version.version}`)
}
