// The order of runs and the published versions. Both are write-once keys with a number in them, so "next" is decided
// by put-if-absent and no clock has a say.

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
  /** Grows with every version, a rollback included; a late old run can so never come back by itself. */
  readonly seq: number
  readonly manifestSha256: string
  /** Set where a person published it although this spoke against it. */
  readonly overriddenReasons?: readonly string[] | undefined
}

export interface SeqEntry {
  readonly seq: number
  readonly run: string
}

/** The current version, or undefined when nothing was published yet. One LIST: the newest key comes first. */
export async function readCurrent(store: Store): Promise<Version | undefined> {
  for await (const { key } of store.list('versions/')) return readVersion(store, key)
  return undefined
}

/** All versions, newest first, and when each was published, where the store says it. */
export async function* readVersions(
  store: Store,
): AsyncGenerator<Version & { readonly publishedMs?: number | undefined }, void, undefined> {
  for await (const { key, modifiedMs } of store.list('versions/')) {
    yield { ...(await readVersion(store, key)), publishedMs: modifiedMs }
  }
}

/** Writes the version after `previous`; 'exists' means that somebody else was first. */
export function putVersion(store: Store, version: Version): Promise<'created' | 'exists'> {
  return putJson(store, versionKey(version.version), { format: 1, ...version })
}

/** Takes the next place in the order of runs for `run`. A place whose run never gets a plan harms nobody. */
export async function takeSeq(store: Store, run: string): Promise<number> {
  let seq = 1
  for await (const { key } of store.list('seq/')) seq = seqOfKey(key) + 1
  while ((await putJson(store, seqKey(seq), { format: 1, run })) === 'exists') seq += 1
  return seq
}

/** The places in the order of runs, newest first: all of them, or those after `after`. */
export async function readSeq(
  store: Store,
  { after = 0 }: { after?: number | undefined } = {},
): Promise<SeqEntry[]> {
  const entries: SeqEntry[] = []
  for await (const { key } of store.list('seq/', { startAfter: seqKey(after) })) {
    const found = await getJson(store, key)
    // Removed between LIST and read: nobody's place.
    if (found === undefined) continue
    const what = `${key} in ${store.url} is not a place in the order of runs`
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
  throw new ReembedError('CORRUPT', `${what}: it says that it is version ${version.version}`)
}
