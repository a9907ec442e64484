// LanceDB, embedded: a folder or an S3 prefix. The versions of one table hold the runs, and tags
// name versions: each run has a tag, and the tag `live` is what searches check out.
//
//   <name>.lance   the table
//   <name>_<run>   a tag: the version that holds the run
//   live           a tag: the version that searches use
//
// A load begins with an empty version, appends to it, and sets its tag at the end. Lance deletes no
// tagged version (docs.lancedb.com, "Versioning & Reproducibility").

import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { arrowTableOf, type ParquetColumn, type ShardBatch } from '@reembed/shard'
import { importClient, messageOf, ReembedError, release } from '@reembed/shared'
import type { Table as ArrowTable } from 'apache-arrow'
import {
  notHeld,
  type RefusedByShard,
  type ShardWrite,
  type Target,
  type TargetUpdate,
  targetInUse,
  type VectorStore,
} from '../load/vector-store.ts'

/**
 * The part of the client that a load uses; the package is optional, so its types are not imported.
 */
interface LanceClient {
  connect(uri: string): Promise<LanceDatabase>
  readonly Index: {
    btree(): unknown
    hnswSq(options: { readonly distanceType: 'dot' | 'cosine'; readonly efConstruction: number }): unknown
  }
}

interface LanceDatabase {
  tableNames(options?: { readonly startAfter: string; readonly limit: number }): Promise<string[]>
  openTable(name: string): Promise<LanceTable>
  createEmptyTable(
    name: string,
    schema: unknown,
    options: { readonly mode: 'overwrite' },
  ): Promise<LanceTable>
  close(): void
}

interface LanceTable {
  schema(): Promise<{
    readonly metadata: ReadonlyMap<string, string>
    readonly fields: readonly { readonly metadata: ReadonlyMap<string, string> }[]
  }>
  version(): Promise<number>
  checkout(version: number | string): Promise<void>
  countRows(filter?: string): Promise<number>
  add(data: ArrowTable): Promise<unknown>
  mergeInsert(on: string): LanceMerge
  delete(filter: string): Promise<unknown>
  restore(): Promise<void>
  updateFieldMetadata(
    updates: readonly { readonly path: string; readonly metadata: Record<string, string> }[],
  ): Promise<unknown>
  query(): {
    where(filter: string): {
      select(columns: readonly string[]): { toArray(): Promise<readonly FoundVector[]> }
    }
  }
  listIndices(): Promise<readonly { readonly name: string; readonly columns: readonly string[] }[]>
  indexStats(name: string): Promise<{ readonly numUnindexedRows: number } | undefined>
  createIndex(column: string, options: { readonly config: unknown; readonly replace: boolean }): Promise<void>
  optimize(options?: { readonly cleanupOlderThan: Date }): Promise<unknown>
  tags(): Promise<{
    list(): Promise<Record<string, unknown>>
    create(tag: string, version: number): Promise<void>
    update(tag: string, version: number): Promise<void>
    delete(tag: string): Promise<void>
  }>
}

interface LanceMerge {
  whenMatchedUpdateAll(): LanceMerge
  whenNotMatchedInsertAll(): { execute(data: ArrowTable): Promise<unknown> }
}

interface FoundVector {
  readonly id: string
  readonly embedding: { toArray(): Float32Array }
}

/**
 * What a version of the table holds, in the metadata of its schema. That of a version that an
 * update has made is in the metadata of its column `id`, which the client can change.
 */
interface Holds {
  readonly load: string
  readonly target: string
  readonly run: string
  readonly shardsSha256: string
}

/** A load that this process has begun. */
interface BegunLoad {
  /** The version of the table in which it began. */
  readonly version: number
  /** Appends that this process has committed. */
  appends: number
  /** Shards that it has tried to write. */
  readonly tried: Set<number>
}

/** LanceDB 0.39 fails with a newer Arrow than its peer dependency. */
export const LANCE_PACKAGES = '@lancedb/lancedb apache-arrow@18'
const HOLDS = 'reembed'
export const LIVE = 'live'
/** Vectors of one append or merge, in bytes: each is a file and a commit. */
const APPEND_BYTES = 32 * 2 ** 20
/** Fewer rows are found by id without an index in milliseconds. */
const INDEXED_ROWS = 10_000
/**
 * Up to so many bytes of vectors, a search compares all of them in some 20 ms, exactly: 100,000
 * vectors of 1,000 dimensions (docs.lancedb.com, "Vector Indexing", "Do you need one?"). An HNSW
 * index over them takes minutes to build.
 */
const SCANNED_BYTES = 400e6
/** Candidates at each insertion: the lower end of the range that the client recommends. */
const EF_CONSTRUCTION = 150

/** The address of a database: the location that LanceDB opens, behind `lancedb:`. */
export function lanceAddress(url: string): string {
  const location = url.replace(/^lancedb\+(?=s3:)/, '').replace(/^lancedb:(\/\/(?=\/))?/, '')
  return `lancedb:${/^s3:/.test(location) ? location : resolve(location)}`
}

/** Opens a database: `lancedb:/folder`, `lancedb:./folder` or `lancedb+s3://bucket/prefix`. */
export async function openLance(url: string): Promise<VectorStore> {
  const address = lanceAddress(url)
  const uri = address.slice('lancedb:'.length)
  // At its default level the client warns that a new table does not exist.
  process.env.LANCEDB_LOG ??= 'error'
  const client = await importClient<LanceClient>(
    LANCE_PACKAGES,
    () => import('@lancedb/lancedb' as string) as Promise<LanceClient>,
  )
  const database = await client.connect(uri)
  /** Loads that this process has begun. */
  const begunLoads = new Map<string, BegunLoad>()

  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw lanceError(error, address)
    }
  }

  async function open(name: string): Promise<LanceTable | undefined> {
    const names = await database.tableNames({ startAfter: name.slice(0, -1), limit: 1_000 })
    return names.includes(name) ? database.openTable(name) : undefined
  }

  /** The version that holds a target: the tagged one, or the newest while it is loaded. */
  async function openTarget(name: string, target: string): Promise<LanceTable | undefined> {
    const table = await open(name)
    if (table === undefined) return undefined
    if (target in (await (await table.tags()).list())) {
      await table.checkout(target)
      return table
    }
    return (await holdsOf(table))?.target === target ? table : undefined
  }

  async function requireTarget(target: string): Promise<LanceTable> {
    const table = await openTarget(nameOf(target), target)
    if (table) return table
    throw new ReembedError('UNBALANCED', `${address} has no ${target}: load the run again`)
  }

  async function prepare({ name, target, manifest, extra }: Target): Promise<string> {
    const { run, shardsSha256, model } = manifest
    const table = await openTarget(name, target)
    const held = table && (await holdsOf(table))
    if (held && held.run === run && held.shardsSha256 === shardsSha256) return held.load
    if (held) {
      throw new ReembedError(
        'USAGE',
        `'${target}' at ${address} holds other vectors, of run ${held.run}: drop it, or choose another name`,
        { option: 'name' },
      )
    }
    const latest = await open(name)
    if (latest && (await holdsOf(latest)) === undefined) {
      throw new ReembedError(
        'USAGE',
        `the table '${name}' at ${address} holds rows that reembed did not load: choose another name`,
        { option: 'name' },
      )
    }
    const holds: Holds = { load: randomUUID(), target, run, shardsSha256 }
    const { schema } = await arrowOf(columnsOf(model.dimensions, extra), [], holds)
    const created = await database.createEmptyTable(name, schema, { mode: 'overwrite' })
    begunLoads.set(holds.load, { version: await created.version(), appends: 0, tried: new Set() })
    return holds.load
  }

  async function write({ name, target, manifest, extra }: Target, { load, shard, rows }: ShardWrite) {
    /** The newest version of the table. */
    const openHeld = async (): Promise<LanceTable> => {
      const table = await open(name)
      const held = table && (await holdsOf(table))
      // Another run was loaded into the table before this one was complete, or an update brought
      // the target to another run.
      if (table === undefined || held?.load !== load || held.run !== manifest.run)
        throw notHeld(target, load, address, `load run ${manifest.run} again`)
      return table
    }
    const { dimensions } = manifest.model
    const columns = columnsOf(dimensions, extra)
    const begun = begunLoads.get(load)
    const isFirstTry = begun !== undefined && !begun.tried.has(shard)
    begun?.tried.add(shard)
    let batches: ShardBatch[] = []
    let bytes = 0
    const append = async (): Promise<void> => {
      const [first] = batches[0]?.ids ?? []
      if (first === undefined) return
      const data = await arrowOf(columns, batches)
      // Read before the version: an append that ends between the two must not hide another one.
      const ownAppends = begun?.appends ?? 0
      const table = await openHeld()
      // Each append makes a version. Another process has written while this one was suspended if
      // the table has more of them.
      const isOnlyOwn = begun !== undefined && (await table.version()) <= begun.version + ownAppends
      // An append is one commit. So the first id is found if an earlier attempt has committed it.
      // The search reads the ids of all rows.
      const isKnown = !(isFirstTry && isOnlyOwn) && (await table.countRows(`id = ${literal(first)}`)) > 0
      if (isKnown) await table.mergeInsert('id').whenNotMatchedInsertAll().execute(data)
      else await table.add(data)
      if (begun && !isKnown) begun.appends += 1
      for (const { vectors } of batches) release(vectors)
      batches = []
      bytes = 0
    }
    for await (const batch of rows()) {
      batches.push(batch)
      bytes += batch.vectors.byteLength
      if (bytes >= APPEND_BYTES) await append()
    }
    await append()
    return []
  }

  /** Makes a version of its own. Searches find it when the tags point to it. */
  async function updateTarget(
    { name, target, manifest, extra }: Target,
    { load, shards, removed }: TargetUpdate,
  ): Promise<RefusedByShard> {
    const table = await requireTarget(target)
    if ((await holdsOf(table))?.load !== load) throw notHeld(target, load, address)
    // The next version begins with the tagged one, also after an update that was interrupted.
    await table.restore()
    const columns = columnsOf(manifest.model.dimensions, extra)
    // Each merge compares the ids of all rows and makes a version; few rows of a group changed.
    let batches: ShardBatch[] = []
    let bytes = 0
    const merge = async (): Promise<void> => {
      if (batches.length === 0) return
      const changed = table.mergeInsert('id').whenMatchedUpdateAll().whenNotMatchedInsertAll()
      await changed.execute(await arrowOf(columns, batches))
      batches = []
      bytes = 0
    }
    for await (const { rows } of shards())
      for await (const batch of rows()) {
        batches.push(batch)
        bytes += batch.vectors.byteLength
        if (bytes >= APPEND_BYTES) await merge()
      }
    await merge()
    await removePadding(table, columns)
    for await (const ids of removed()) await table.delete(`id IN (${ids.map(literal).join(',')})`)
    const { run, shardsSha256 } = manifest
    const holds: Holds = { load, target, run, shardsSha256 }
    await table.updateFieldMetadata([{ path: 'id', metadata: { [HOLDS]: JSON.stringify(holds) } }])
    // The indexes take the new rows.
    await table.optimize()
    const version = await table.version()
    await setTag(table, target, version)
    const isLive = LIVE in (await (await table.tags()).list()) && (await current(name)) === target
    if (isLive) await setTag(table, LIVE, version)
    return new Map()
  }

  async function current(name: string): Promise<string | undefined> {
    const table = await open(name)
    if (table === undefined || !(LIVE in (await (await table.tags()).list()))) return undefined
    await table.checkout(LIVE)
    return (await holdsOf(table))?.target
  }

  async function finish({ name, target, manifest: { model, totals }, extra }: Target): Promise<void> {
    const table = await open(name)
    if (table === undefined || (await holdsOf(table))?.target !== target) return
    // The tagged version is finished; a later one is that of a late write.
    if (target in (await (await table.tags()).list())) return
    await removePadding(table, columnsOf(model.dimensions, extra))
    const hnsw = {
      distanceType: model.normalized ? 'dot' : 'cosine',
      efConstruction: EF_CONSTRUCTION,
    } as const
    const indexes = [
      ...(totals.rows >= INDEXED_ROWS ? [['id', client.Index.btree()] as const] : []),
      ...(totals.rows * model.dimensions * Float32Array.BYTES_PER_ELEMENT > SCANNED_BYTES
        ? [['embedding', client.Index.hnswSq(hnsw)] as const]
        : []),
    ]
    for (const [column, config] of indexes)
      if (!(await isIndexed(table, column))) await table.createIndex(column, { config, replace: true })
    await setTag(table, target, await table.version())
  }

  return {
    kind: 'lancedb',
    address,
    // An append of another process is not seen before it is committed: rows would be doubled.
    embedded: true,
    identifiers: true,
    compared: () => 'bits',
    prepare: target => guarded(() => prepare(target)),
    write: (target, shard) =>
      guarded(() => write(target, shard)).catch(async (error: unknown) => {
        // A drop deletes files that an append in progress needs.
        const isHeld = await guarded(async () => {
          const table = await openTarget(target.name, target.target)
          return table && (await holdsOf(table))?.load === shard.load
        })
        throw isHeld ? error : notHeld(target.target, shard.load, address)
      }),
    update: (target, update) => guarded(() => updateTarget(target, update)),
    holds: target =>
      guarded(async () => {
        const table = await openTarget(nameOf(target), target)
        return table && (await holdsOf(table))?.load
      }),
    finish: target => guarded(() => finish(target)),
    count: target => guarded(async () => (await openTarget(nameOf(target), target))?.countRows()),
    read: (target, ids) =>
      guarded(async () => {
        const table = await requireTarget(target)
        const found = await table
          .query()
          .where(`id IN (${ids.map(literal).join(',')})`)
          .select(['id', 'embedding'])
          .toArray()
        return new Map(found.map(({ id, embedding }) => [id, Float32Array.from(embedding.toArray())]))
      }),
    current: name => guarded(() => current(name)),
    switchTo: (name, target) =>
      guarded(async () => {
        if ((await current(name)) === target) return
        const table = await requireTarget(target)
        await setTag(table, LIVE, await table.version())
      }),
    drop: target =>
      guarded(async () => {
        const name = nameOf(target)
        const table = await open(name)
        if (table === undefined) return
        if ((await current(name)) === target) throw targetInUse(target, address, `tag ${LIVE}`)
        const tags = await table.tags()
        if (target in (await tags.list())) await tags.delete(target)
        if ((await holdsOf(table))?.target === target) {
          // The newest version cannot be deleted; an empty one takes its place.
          const holds: Holds = { load: randomUUID(), target: '', run: '', shardsSha256: '' }
          const { schema } = await arrowOf(columnsOf(1, []), [], holds)
          await database.createEmptyTable(name, schema, { mode: 'overwrite' })
        }
        // Lance frees the space of untagged versions only while no older version has a tag; a later
        // drop frees it.
        const rest = await database.openTable(name)
        await rest.optimize({ cleanupOlderThan: new Date() }).catch((error: unknown) => {
          if (!/tagged version/.test(messageOf(error))) throw error
        })
      }),
    async [Symbol.asyncDispose]() {
      database.close()
    },
  }
}

/** The table of a target. */
const nameOf = (target: string): string => target.slice(0, target.lastIndexOf('_'))

async function holdsOf(table: LanceTable): Promise<Holds | undefined> {
  const { metadata, fields } = await table.schema()
  const text = fields[0]?.metadata.get(HOLDS) ?? metadata.get(HOLDS)
  return text === undefined ? undefined : JSON.parse(text)
}

/** Whether the column has an index that holds every row. */
async function isIndexed(table: LanceTable, column: string): Promise<boolean> {
  const index = (await table.listIndices()).find(({ columns }) => columns[0] === column)
  return index !== undefined && (await table.indexStats(index.name))?.numUnindexedRows === 0
}

async function setTag(table: LanceTable, tag: string, version: number): Promise<void> {
  const tags = await table.tags()
  if (tag in (await tags.list())) await tags.update(tag, version)
  else await tags.create(tag, version)
}

const columnsOf = (dimensions: number, extra: Target['extra']): ParquetColumn[] => [
  { kind: 'flat', name: 'id', type: 'string', nullable: false },
  { kind: 'vector', name: 'embedding', element: 'float32', dimensions },
  ...extra,
]

async function arrowOf(
  columns: readonly ParquetColumn[],
  batches: readonly ShardBatch[],
  holds?: Holds,
): Promise<ArrowTable> {
  const metadata = new Map(holds ? [[HOLDS, JSON.stringify(holds)]] : [])
  const made = batches.map(batch => {
    const { ids, vectors, extra } = padded(batch, columns)
    return {
      rows: ids.length,
      values: [ids, vectors, ...columns.slice(2).map(({ name }) => extra.get(name) ?? [])],
    }
  })
  return arrowTableOf(columns, made, metadata)
}

/**
 * The id of a row that is written and deleted within one load. Arrow for JavaScript writes a batch
 * without any value in a boolean column in a form that LanceDB refuses (no buffer of values), so
 * such a batch takes one more row.
 */
const PADDING = 'reembed-padding-2f6c1f0e-'

async function removePadding(table: LanceTable, columns: readonly ParquetColumn[]): Promise<void> {
  const filter = `starts_with(id, '${PADDING}')`
  // A deletion reads all ids and makes a version, also without a match.
  if (columns.some(isBoolean) && (await table.countRows(filter)) > 0) await table.delete(filter)
}

const isBoolean = (column: ParquetColumn): boolean => column.kind === 'flat' && column.type === 'boolean'

/** A batch that has a value in each boolean column. */
function padded(batch: ShardBatch, columns: readonly ParquetColumn[]): ShardBatch {
  const empty = columns.filter(
    column => isBoolean(column) && batch.extra.get(column.name)?.every(value => value === null),
  )
  if (empty.length === 0) return batch
  const width = batch.vectors.length / batch.ids.length
  const vectors = new Float32Array(batch.vectors.length + width).fill(1)
  vectors.set(batch.vectors)
  const filler = { string: '', int32: 0, int64: 0, double: 0, boolean: false }
  const extra = columns.flatMap(column =>
    column.kind === 'flat' && column.name !== 'id'
      ? [[column.name, [...(batch.extra.get(column.name) ?? []), filler[column.type]]] as const]
      : [],
  )
  return { ...batch, ids: [...batch.ids, PADDING + randomUUID()], vectors, extra: new Map(extra) }
}

/** A string of SQL. */
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

function lanceError(cause: unknown, address: string): unknown {
  if (cause instanceof ReembedError) return cause
  const message = messageOf(cause)
  if (/conflict|too many concurrent/i.test(message)) return passing(message, address, cause)
  if (/access ?denied|forbidden|\b403\b|permission denied/i.test(message)) {
    return new ReembedError('STORE_ACCESS_DENIED', `${address} denies access: ${message}`, { cause })
  }
  if (/dispatch failure|timed? ?out|connection|\b50[0234]\b/i.test(message))
    return passing(message, address, cause)
  return cause
}

const passing = (message: string, address: string, cause: unknown): ReembedError =>
  new ReembedError('STORE_UNREACHABLE', `${address} did not take a request: ${message}`, {
    retry: 'requeue',
    cause,
  })
