// The footer of a Parquet object: columns and row groups. Planning reads nothing else of the
// object.

import type { CarriedType } from '@reembed/protocol'
import { createMemo, LIMITS, type Memo, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type FileMetaData, parquetMetadata, parquetSchema, type SchemaTree } from 'hyparquet'
import { pathSegments } from '../value/field.ts'
import { requireOne } from '../value/one-name.ts'
import { conversionOf } from './parquet-values.ts'

export interface ParquetFooter {
  readonly rows: number
  /** First row of each row group. */
  readonly groupStarts: readonly number[]
  readonly metadata: FileMetaData
  readonly schema: SchemaTree
  /** Bytes read from the store. */
  readonly bytesRead: number
}

interface ObjectName {
  readonly key: string
  readonly etag: string
  readonly size: number
}

const TAIL_BYTES = 64 * 1024
const FRAME_BYTES = 12
/** Ten thousand columns take about 10 MiB, so a larger length is damage. */
const MAX_FOOTER_BYTES = LIMITS.parquetFooterBytes

/** Footers that are cached for each store: jobs of one worker read the same few objects. */
const KEPT_FOOTERS = 16
const kept = new WeakMap<Store, Memo<string, ParquetFooter>>()

/**
 * @throws ReembedError SOURCE_FORMAT for an object that is not Parquet, truncated, encrypted or
 * damaged, each named.
 */
export function readParquetFooter(
  store: Store,
  { key, etag, size }: ObjectName,
  signal?: AbortSignal,
): Promise<ParquetFooter> {
  const footers = kept.get(store) ?? createMemo<string, ParquetFooter>({ max: KEPT_FOOTERS })
  kept.set(store, footers)
  return footers.get(`${key} ${etag}`, () => readFooter(store, { key, etag, size }, signal))
}

async function readFooter(
  store: Store,
  { key, etag, size }: ObjectName,
  signal: AbortSignal | undefined,
): Promise<ParquetFooter> {
  const tailStart = Math.max(0, size - TAIL_BYTES)
  const tail = Buffer.from(await store.get(key, { start: tailStart, end: size, ifMatch: etag, signal }))
  const magic = tail.toString('latin1', tail.length - 4)
  if (magic === 'PARE') throw sourceFormatError(key, 'is encrypted, which is not supported')
  if (size < FRAME_BYTES || tail.length !== size - tailStart || magic !== 'PAR1') {
    const head = Buffer.from(await store.get(key, { end: Math.min(4, size), ifMatch: etag, signal }))
    throw head.toString('latin1') === 'PAR1'
      ? sourceFormatError(key, `is truncated: its ${size} bytes do not end with a Parquet footer`)
      : sourceFormatError(key, 'is not a Parquet file')
  }
  const length = tail.readUInt32LE(tail.length - 8)
  const start = size - 8 - length
  if (start < 4 || length > MAX_FOOTER_BYTES) {
    throw sourceFormatError(
      key,
      `has a damaged footer: it claims to be ${length} bytes long in a file of ${size}`,
    )
  }
  const footer =
    start >= tailStart
      ? tail
      : Buffer.concat([await store.get(key, { start, end: tailStart, ifMatch: etag, signal }), tail])
  return { ...parseFooter(key, footer), bytesRead: Math.max(tail.length, footer.length) }
}

function parseFooter(key: string, footer: Buffer): Omit<ParquetFooter, 'bytesRead'> {
  try {
    const metadata = parquetMetadata(footer, { geoparquet: false })
    const groupStarts: number[] = []
    let rows = 0
    for (const { num_rows } of metadata.row_groups) {
      groupStarts.push(rows)
      rows += Number(num_rows)
    }
    if (!Number.isSafeInteger(rows) || rows < 0) throw new RangeError(`it claims ${rows} rows`)
    return { rows, groupStarts, metadata, schema: parquetSchema(metadata) }
  } catch (cause) {
    throw sourceFormatError(key, `has a damaged footer (${messageOf(cause)})`, cause)
  }
}

export const sourceFormatError = (key: string, what: string, cause?: unknown): ReembedError =>
  new ReembedError('SOURCE_FORMAT', `${JSON.stringify(key)} ${what}`, { cause })

/** A column as it is stored. */
export interface PhysicalColumn {
  /** Index among the physical columns. */
  readonly column: number
  /** Schema elements from the root to the column. */
  readonly schemaPath: readonly SchemaTree[]
}

/** The dotted path of a column. */
export const nameOf = ({ schemaPath }: PhysicalColumn): string => schemaPath.at(-1)?.path.join('.') ?? ''

/** A column with one value for each row. */
export interface LeafColumn extends PhysicalColumn {
  /** The path as the caller wrote it. */
  readonly path: string
}

/** A list, a map or a struct: its value in a row is made of several physical columns. */
export interface NestedColumn {
  readonly path: string
  /** From the root to the list, map or struct. No element around it is repeated. */
  readonly schemaPath: readonly SchemaTree[]
  readonly leaves: readonly PhysicalColumn[]
}

/** The columns with one value for each row, with their dotted paths. */
export const leafColumnsOf = ({ schema }: ParquetFooter): LeafColumn[] =>
  physicalColumnsOf(schema)
    .filter(({ schemaPath }) => schemaPath.every(({ element }) => element.repetition_type !== 'REPEATED'))
    .map(column => ({ ...column, path: nameOf(column) }))

/**
 * The column at a path: a top-level column with exactly this name, else the column that the
 * segments lead to.
 */
export function leafColumnAt(leaves: readonly LeafColumn[], path: string): LeafColumn | undefined {
  const steps = pathSegments(path)
  const names = (leaf: LeafColumn): readonly string[] => leaf.schemaPath.at(-1)?.path ?? []
  const found =
    leaves.find(leaf => names(leaf).length === 1 && names(leaf)[0] === path) ??
    leaves.find(
      leaf => names(leaf).length === steps.length && names(leaf).every((name, i) => name === steps[i]),
    )
  return found && { ...found, path }
}

/** The list, map or struct at a path; undefined if the path names none. */
export function nestedColumnAt({ schema }: ParquetFooter, path: string): NestedColumn | undefined {
  const whole = schema.children.find(({ element }) => element.name === path)
  const schemaPath = whole ? [schema, whole] : pathTo(schema, pathSegments(path))
  const node = schemaPath?.at(-1)
  if (schemaPath === undefined || node === undefined) return undefined
  if (node.children.length === 0 && node.element.repetition_type !== 'REPEATED') return undefined
  const leaves = physicalColumnsOf(schema).filter(leaf => leaf.schemaPath.includes(node))
  return { path, schemaPath, leaves }
}

/** @throws ReembedError SOURCE_FORMAT if the path, or a member below it, names two columns */
export function requireOneColumn(key: string, { schema }: ParquetFooter, path: string): void {
  const isTop = schema.children.some(({ element }) => element.name === path)
  let node: SchemaTree | undefined = schema
  for (const name of isTop ? [path] : pathSegments(path)) {
    requireOne(key, namesOf(node), name)
    node = node.children.find(({ element }) => element.name === name)
    if (node === undefined) return
  }
  const visit = (below: SchemaTree): void => {
    for (const name of namesOf(below)) requireOne(key, namesOf(below), name)
    below.children.forEach(visit)
  }
  visit(node)
}

const namesOf = ({ children }: SchemaTree): string[] => children.map(({ element }) => element.name)

function pathTo(schema: SchemaTree, names: readonly string[]): SchemaTree[] | undefined {
  const found = [schema]
  for (const name of names) {
    const last = found.at(-1)
    const next = last?.children.find(({ element }) => element.name === name)
    if (next === undefined || (found.length > 1 && last?.element.repetition_type === 'REPEATED'))
      return undefined
    found.push(next)
  }
  return found
}

function physicalColumnsOf(schema: SchemaTree): PhysicalColumn[] {
  const found: PhysicalColumn[] = []
  const visit = (schemaPath: readonly SchemaTree[]): void => {
    const { children = [] } = schemaPath.at(-1) ?? {}
    if (children.length === 0) found.push({ column: found.length, schemaPath })
    for (const child of children) visit([...schemaPath, child])
  }
  visit([schema])
  return found
}

/** The type in which the values of a column are carried. */
export function carriedTypeOf({ schemaPath }: LeafColumn): CarriedType {
  const element = schemaPath.at(-1)?.element
  try {
    return element === undefined ? 'string' : conversionOf(element).carriedType
  } catch {
    // The type cannot be read: reading it reports that.
    return 'string'
  }
}
