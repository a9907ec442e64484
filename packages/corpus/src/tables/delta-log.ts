// The current files of a Delta Lake table, by its transaction log: the newest checkpoint, then the
// commits after it. A table that the files alone do not describe is refused by the feature it uses.
//
// Source: PROTOCOL.md of delta-io/delta: "Delta Log Entries", "Checkpoints", "Action
// Reconciliation", "Reader Version Requirements", "Partition Value Serialization".

import { partitionOf, visitRecords } from '@reembed/formats'
import { LIMITS, ReembedError } from '@reembed/shared'
import { compareKeys, type ListedObject, type Store } from '@reembed/store'

/** The folder of the log in a table. */
const LOG = '_delta_log/'
/**
 * Features that change nothing for a reader of whole files. Deletion vectors and column mapping are
 * refused where a file or the table uses them; checkpoints of version 2, where the log lacks the
 * commits before them.
 */
const READABLE_FEATURES = [
  'timestampNtz',
  'vacuumProtocolCheck',
  'deletionVectors',
  'columnMapping',
  'v2Checkpoint',
]
/** Some 300 MB of names. */
const MAX_FILES = LIMITS.tableFiles

export interface DeltaSnapshot {
  /** The version of the table: the number of its last commit. */
  readonly version: number
  /** Size of each current data file in bytes, by its key in the table. */
  readonly files: ReadonlyMap<string, number>
}

interface AddedFile {
  readonly path: string
  readonly size: number | bigint
  readonly partitionValues?: Readonly<Record<string, string | null>> | null
  readonly deletionVector?: DeletionVector | null
}

interface DeletionVector {
  readonly storageType: string
  readonly pathOrInlineDv: string
  readonly offset?: number | bigint | null
}

interface Protocol {
  readonly minReaderVersion: number | bigint
  readonly readerFeatures?: readonly string[] | null
}

/**
 * Reads the log of the table that a store holds.
 * @throws ReembedError SOURCE_FORMAT if the log is damaged or incomplete, or if the table uses what
 * its files do not state: deletion vectors, column mapping, files elsewhere, other features.
 */
export async function readDeltaSnapshot(store: Store, signal?: AbortSignal): Promise<DeltaSnapshot> {
  const log = await listLog(store, signal)
  const current = createFileSet(store)
  const visit = (object: ListedObject, format: 'jsonl' | 'parquet', paths: readonly string[]) =>
    visitRecords(store, { ...object, format }, { paths, signal }, record => current.apply(record))

  for (const object of log.checkpoint)
    await visit(object, 'parquet', [
      'add.path',
      'add.size',
      'add.partitionValues',
      'add.deletionVector',
      'protocol',
      'metaData.configuration',
      'sidecar.path',
    ])
  // A commit may replace a file by itself with a deletion vector, in either order.
  for (const object of log.commits) await visit(object, 'jsonl', [])
  return { version: log.version, files: current.files() }
}

interface Log {
  readonly version: number
  /** The parts of the newest whole checkpoint; empty if there is none. */
  readonly checkpoint: readonly ListedObject[]
  /** The commits after the checkpoint, in order. */
  readonly commits: readonly ListedObject[]
}

/** @throws ReembedError SOURCE_FORMAT if commits are missing */
async function listLog(store: Store, signal: AbortSignal | undefined): Promise<Log> {
  const commits = new Map<number, ListedObject>()
  const checkpoints = new Map<string, { version: number; parts: number; objects: ListedObject[] }>()
  let hasOtherCheckpoint = false
  for await (const object of store.list(LOG, { signal })) {
    const name = object.key.slice(LOG.length)
    const commit = /^(\d{20})\.json$/.exec(name)
    if (commit) commits.set(Number(commit[1]), object)
    const [, digits, , parts = '1'] =
      /^(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet$/.exec(name) ?? []
    if (digits !== undefined) {
      const id = `${digits}.${parts}`
      const found = checkpoints.get(id) ?? { version: Number(digits), parts: Number(parts), objects: [] }
      found.objects.push(object)
      checkpoints.set(id, found)
    } else if (/^\d{20}\.checkpoint\.[^/]+\.(json|parquet)$/.test(name)) hasOtherCheckpoint = true
  }
  const [newest] = [...checkpoints.values()]
    .filter(({ parts, objects }) => objects.length === parts)
    .sort((a, b) => b.version - a.version)
  const first = newest ? newest.version + 1 : 0
  const version = Math.max(newest?.version ?? -1, ...commits.keys())
  const after: ListedObject[] = []
  for (let at = first; at <= version; at++) {
    const commit = commits.get(at)
    if (commit === undefined)
      throw tableError(
        store,
        hasOtherCheckpoint
          ? `has a checkpoint of version 2, and version ${at} is not in its log as a commit`
          : `has no commit of version ${at} in its log, up to version ${version}`,
      )
    after.push(commit)
  }
  return { version, checkpoint: newest?.objects ?? [], commits: after }
}

/** Applies the actions of a log, in order, to the set of current files. */
function createFileSet(store: Store) {
  /** By path and deletion vector: an action concerns a file together with its deletion vector. */
  const files = new Map<string, { readonly key: string; readonly size: number; readonly vector: boolean }>()

  function add(file: AddedFile): void {
    const key = keyOf(store, file.path)
    for (const [name, value] of Object.entries(file.partitionValues ?? {})) {
      if ((partitionOf(store, key)[name] ?? null) === (value === '' ? null : value)) continue
      throw tableError(
        store,
        `states the partition column ${JSON.stringify(name)} of ${JSON.stringify(key)} in its log alone`,
      )
    }
    const vector = file.deletionVector ?? null
    files.set(idOf(key, vector), { key, size: Number(file.size), vector: vector !== null })
    if (files.size > MAX_FILES) throw tableError(store, `has more than ${MAX_FILES} files`)
  }

  return {
    apply(record: object): void {
      const action = nested(record)
      if (isAction<AddedFile>(action.add, 'path')) add(action.add)
      if (isAction<AddedFile>(action.remove, 'path'))
        files.delete(
          idOf(decoded(action.remove.path) ?? action.remove.path, action.remove.deletionVector ?? null),
        )
      if (isAction<Protocol>(action.protocol, 'minReaderVersion')) requireReadable(store, action.protocol)
      if (isAction<object>(action.sidecar, 'path')) throw tableError(store, 'has a checkpoint of version 2')
      const { configuration } = isObject(action.metaData) ? action.metaData : {}
      const mode = isObject(configuration) ? configuration['delta.columnMapping.mode'] : undefined
      if (mode !== undefined && mode !== null && mode !== 'none')
        throw tableError(store, `maps its columns to other names (column mapping by ${mode})`)
    },
    files(): Map<string, number> {
      const sorted = [...files.values()].sort((a, b) => compareKeys(a.key, b.key))
      const masked = sorted.filter(({ vector }) => vector)
      if (masked.length > 0)
        throw tableError(
          store,
          `marks deleted rows of ${masked.length} of its ${sorted.length} files by deletion vectors, such as ${JSON.stringify(masked[0]?.key)}`,
        )
      return new Map(sorted.map(({ key, size }) => [key, size]))
    },
  }
}

/** Rows of a checkpoint have members such as 'add.path'; actions of a commit are nested. */
function nested(record: object): Record<string, unknown> {
  const action: Record<string, unknown> = {}
  for (const [path, value] of Object.entries(record)) {
    const [outer = path, inner] = path.split('.')
    action[outer] = inner === undefined ? value : { ...(action[outer] as object), [inner]: value }
  }
  return action
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

const isAction = <T extends object>(value: unknown, member: string): value is T =>
  isObject(value) && value[member] !== null && value[member] !== undefined

/** The unique id of a deletion vector: rows of a checkpoint have other members than commits. */
const idOf = (key: string, vector: DeletionVector | null): string =>
  vector === null ? key : `${key} ${vector.storageType}${vector.pathOrInlineDv}@${vector.offset ?? ''}`

/** Paths are URLs relative to the table. */
function keyOf(store: Store, path: string): string {
  const key = decoded(path)
  if (key === undefined) throw tableError(store, `names a file by the invalid URL ${JSON.stringify(path)}`)
  if (/^([a-z][a-z0-9+.-]*:|\/)/i.test(path) || key.split('/').includes('..'))
    throw tableError(store, `names a file outside of its folder, ${JSON.stringify(path)} (a shallow clone)`)
  return key
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

function requireReadable(store: Store, { minReaderVersion, readerFeatures }: Protocol): void {
  const version = Number(minReaderVersion)
  const unknown = (readerFeatures ?? []).filter(name => !READABLE_FEATURES.includes(name))
  if (unknown.length > 0) throw tableError(store, `uses the features ${unknown.join(', ')}`)
  if (version > 3) throw tableError(store, `needs a reader of version ${version}`)
}

const tableError = (store: Store, what: string): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `The Delta Lake table ${store.url} ${what}, which cannot be read. Write its current rows as Parquet to another ` +
      'folder and embed that folder',
    { option: 'source' },
  )
