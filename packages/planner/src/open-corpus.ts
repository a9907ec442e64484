// Opens a corpus and lists its objects. Reads none of their content.

import { stat } from 'node:fs/promises'
import { basename, dirname, posix } from 'node:path'
import { type DeltaSnapshot, readDeltaSnapshot } from '@reembed/corpus'
import { isWholeFile, type ObjectEncoding, objectEncodingOf, SUPPORTED_EXTENSIONS } from '@reembed/formats'
import { type CsvDialect, FORMATS, type Format, type SourceObject, type SourceTable } from '@reembed/protocol'
import { codeOf, interruptAfter, isUrl, ReembedError } from '@reembed/shared'
import { type ObjectInfo, openStore, type Store } from '@reembed/store'
import type { Corpus, ListCorpusOptions, OpenCorpusOptions } from './corpus.ts'
import { localPath, refuseOverlap } from './overlap.ts'
import { findTable, refuseLogOfTable, tableError } from './table-formats.ts'
import { isTableUrl, openTableSource } from './table-source.ts'

/**
 * Opens a folder, a file, 's3://bucket/prefix', one S3 object, or what a glob below one of these
 * matches ('s3://bucket/wiki/**\/*.jsonl.gz'); or a table of a database,
 * 'postgres://user@host/database?table=name', or the payloads of a collection of Qdrant,
 * 'qdrant+https://host:6333?collection=name'. The caller must dispose it.
 * @throws ReembedError SOURCE_NOT_FOUND, SOURCE_FORMAT, USAGE, OUTPUT_INSIDE_SOURCE
 */
export async function openCorpus(
  url: string,
  { format, csv, output, s3, signal }: OpenCorpusOptions = {},
): Promise<Corpus> {
  const glob = isTableUrl(url) ? undefined : await splitGlob(url)
  if (glob) {
    if (output !== undefined) await refuseOverlap(glob.root, output)
    return corpusOfGlob((await openRoot(glob.root, s3)).store, glob, { format, csv })
  }
  if (isTableUrl(url)) return openTableSource(url, { format, csv, signal })
  if (output !== undefined) await refuseOverlap(url, output)
  const { root, name } = /^(s3|hf):\/\//.test(url) ? splitUrl(url, format) : await splitPath(url)
  if (name !== undefined) {
    const { store } = await openRoot(root, s3)
    const only = await store.head(name, { signal })
    if (only) return corpusOfOne(store, only, { format, csv })
    await store[Symbol.asyncDispose]()
  }
  const { store, isTable } = await openRoot(name === undefined ? root : url, s3, { readsTable: true })
  if (isTable) return corpusOfDelta(store, await readDeltaSnapshot(store, signal))
  /**
   * The README.md of a dataset on the Hub is the dataset card. It is not a document of the corpus.
   */
  const card = /^hf:\/\/datasets\/[^/]+\/[^/]+\/?$/.test(url) ? 'README.md' : undefined

  const select = async function* (all: AsyncIterable<ObjectInfo>): AsyncGenerator<ObjectInfo> {
    for await (const object of all) if (object.key !== card) yield object
  }
  const objects: Corpus['objects'] = options => sourceObjects(store, { format, csv, select }, options)
  return { store, objects, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}

/**
 * Opens the root of a source. What is wrong with it, the store reports first.
 * @throws ReembedError SOURCE_FORMAT if the root is a table or lies in one, except for a table of
 * Delta Lake where the caller reads it
 */
async function openRoot(
  root: string,
  s3: OpenCorpusOptions['s3'],
  { readsTable = false } = {},
): Promise<{ readonly store: Store; readonly isTable: boolean }> {
  const store = await openStore(root, { s3 })
  const table = await findTable(root, s3)
  if (table === undefined) return { store, isTable: false }
  if (readsTable && table.isSource && table.format === 'Delta Lake') return { store, isTable: true }
  await store[Symbol.asyncDispose]()
  throw tableError(table)
}

/** The objects of a listing that are read. */
async function* sourceObjects(
  store: Store,
  {
    format,
    csv,
    prefix = '',
    select = all => all,
    includesSetAside = false,
  }: Reading & {
    readonly prefix?: string
    readonly select?: (objects: AsyncIterable<ObjectInfo>) => AsyncIterable<ObjectInfo>
    /** Whether objects are read that `isSetAside` would skip. */
    readonly includesSetAside?: boolean
  },
  { onSkip, signal }: ListCorpusOptions = {},
): ReturnType<Corpus['objects']> {
  for await (const { key, size, etag } of select(visibleObjects(store, prefix, signal))) {
    const encoding = objectEncodingOf(key, format)
    if (encoding && (includesSetAside || !isSetAside(key, encoding)))
      yield sourceObjectOf({ key, size, etag }, encoding, csv)
    else if (encoding || !isMarker(key)) onSkip?.(key)
  }
}

async function* visibleObjects(
  store: Store,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  for await (const object of store.list(prefix, { signal })) {
    refuseLogOfTable(store.url, object.key)
    if (!isHidden(object.key)) yield object
  }
}

type Reading = Pick<OpenCorpusOptions, 'format' | 'csv'>

const sourceObjectOf = (
  { key, size, etag }: ObjectInfo,
  encoding: ObjectEncoding,
  csv: CsvDialect | undefined,
): SourceObject => ({
  key,
  size,
  etag,
  ...encoding,
  ...(csv && (encoding.format === 'csv' || encoding.format === 'tsv') && { csv }),
})

interface Glob {
  readonly root: string
  readonly pattern: string
}

/**
 * The folder or prefix in front of the first name with a wildcard. A file that has such a name is
 * no glob.
 */
async function splitGlob(url: string): Promise<Glob | undefined> {
  const wildcard = url.search(/[*?[{]/)
  if (wildcard === -1) return undefined
  if (!isUrl(url) && (await stat(url).catch(() => undefined))) return undefined
  const cut = url.lastIndexOf('/', wildcard) + 1
  return { root: cut === 0 ? '.' : url.slice(0, cut), pattern: url.slice(cut) }
}

function corpusOfGlob(store: Store, { pattern }: Glob, reading: Reading): Corpus {
  /** What all keys that match begin with: only these are listed. */
  const prefix = pattern.slice(0, pattern.search(/[*?[{]/))
  const includesSetAside = /(^|\/)_/.test(pattern)

  async function* objects(options?: ListCorpusOptions): ReturnType<Corpus['objects']> {
    let found = false
    const select = async function* (all: AsyncIterable<ObjectInfo>): AsyncGenerator<ObjectInfo> {
      for await (const object of matching(all, pattern)) {
        found = true
        yield object
      }
    }
    yield* sourceObjects(store, { ...reading, prefix, select, includesSetAside }, options)
    if (!found) {
      throw new ReembedError(
        'SOURCE_EMPTY',
        `There is nothing to embed: no object in ${store.url} matches '${pattern}'`,
      )
    }
  }
  return { store, objects, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}

/** Matching one key takes microseconds. */
const MATCH_MS = 1_000
/** Objects within one limit of time, which costs up to 0.5 ms. */
const MATCHED_AT_ONCE = 500

/**
 * The objects whose keys match a pattern. The names of keys are chosen by the writers of the
 * corpus: some make a pattern with several wildcards backtrack for years, in which no signal is
 * handled.
 * @throws ReembedError USAGE for the first key that takes too long
 */
async function* matching(objects: AsyncIterable<ObjectInfo>, pattern: string): AsyncGenerator<ObjectInfo> {
  const matches = ({ key }: ObjectInfo): boolean => posix.matchesGlob(key, pattern)
  const inTime = <T>(work: () => T, late: () => Error): T => interruptAfter(MATCH_MS, work, late)
  let listed: ObjectInfo[] = []
  function* matched(): Generator<ObjectInfo> {
    const late = new Error()
    const all = (): ObjectInfo[] => listed.filter(matches)
    const each = (object: ObjectInfo): boolean =>
      inTime(
        () => matches(object),
        () => tooSlow(pattern, object.key),
      )
    try {
      yield* inTime(all, () => late)
    } catch (error) {
      if (error !== late) throw error
      for (const object of listed) if (each(object)) yield object
    }
    listed = []
  }
  for await (const object of objects) {
    listed.push(object)
    if (listed.length === MATCHED_AT_ONCE) yield* matched()
  }
  yield* matched()
}

const tooSlow = (pattern: string, key: string): ReembedError =>
  new ReembedError(
    'USAGE',
    `the pattern '${pattern}' takes more than ${MATCH_MS / 1000} s for the object ${JSON.stringify(key)}: use fewer wildcards in a name, or rename the object`,
    { option: 'source' },
  )

function corpusOfOne(store: Store, { key, size, etag }: ObjectInfo, { format, csv }: Reading): Corpus {
  const encoding = objectEncodingOf(key, format)
  if (encoding === undefined) {
    throw new ReembedError(
      'SOURCE_FORMAT',
      `Cannot tell the format of ${JSON.stringify(key)} by its extension: known are ${SUPPORTED_EXTENSIONS}. ` +
        `Specify it: ${FORMATS.join(', ')}`,
      { option: 'format' },
    )
  }
  const object = sourceObjectOf({ key, size, etag }, encoding, csv)
  async function* objects(): ReturnType<Corpus['objects']> {
    yield object
  }
  return { store, objects, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}

/** The current files of a table of Delta Lake, at the version that was read when it was opened. */
function corpusOfDelta(store: Store, { version, files }: DeltaSnapshot): Corpus {
  const damaged = (what: string): ReembedError =>
    new ReembedError(
      'SOURCE_FORMAT',
      `Version ${version} of the Delta Lake table ${store.url} ${what}: restore the file, or repair the table`,
      { option: 'source' },
    )

  async function* objects({ signal }: ListCorpusOptions = {}): ReturnType<Corpus['objects']> {
    const missing = new Set(files.keys())
    for await (const { key, size, etag } of store.list('', { signal })) {
      if (!missing.delete(key)) continue
      if (size !== files.get(key))
        throw damaged(`states ${files.get(key)} bytes for ${JSON.stringify(key)}, which has ${size}`)
      yield { key, size, etag, format: 'parquet' }
    }
    const [first] = missing
    if (first !== undefined)
      throw damaged(`names ${missing.size} files that do not exist, such as ${JSON.stringify(first)}`)
  }
  const table: SourceTable = { format: 'delta', version, files: files.size }
  return { store, table, objects, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}

interface Split {
  readonly root: string
  /** Set if the URL may name a single object below `root`. */
  readonly name?: string
}

async function splitPath(url: string): Promise<Split> {
  // Other schemes and misspelt ones: openStore reports what is wrong with them.
  if (!/^file:/i.test(url) && (isUrl(url) || /^s3[an]?:/i.test(url))) return { root: url }
  const path = localPath(url)
  const stats = await stat(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') return undefined
    throw new ReembedError('SOURCE_NOT_FOUND', `There is no file or folder '${path}': check the source`, {
      option: 'source',
    })
  })
  return stats?.isFile() ? { root: dirname(path), name: basename(path) } : { root: path }
}

/**
 * Only a last name with a dot is requested as an object: credentials for a prefix may not cover a
 * request above it.
 */
function splitUrl(url: string, format: Format | undefined): Split {
  const [, root, name] =
    /^(s3:\/\/[^/]+\/(?:.*\/)?|hf:\/\/datasets\/[^/]+\/[^/]+\/(?:.*\/)?)([^/]+)$/.exec(url) ?? []
  return root && name && (format || name.includes('.')) ? { root, name } : { root: url }
}

/**
 * Internal files of Spark and Delta (_temporary/, _delta_log/), which readers of tables skip. Text
 * and Markdown documents may have such names.
 */
const isSetAside = (key: string, { format }: ObjectEncoding): boolean =>
  !isWholeFile(format) && /(^|\/)_[^/=]*(\/|$)/.test(key)

/** Markers such as _SUCCESS and _metadata hold no records, so they are not reported as skipped. */
const isMarker = (key: string): boolean => /(^|\/)_[^/.]*$/.test(key)

/** Hidden files; and keys that end with '/', which S3 consoles create as folders. */
const isHidden = (key: string): boolean => key.endsWith('/') || /(^|\/)\./.test(key)
