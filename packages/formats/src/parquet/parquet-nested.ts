// Reads lists, maps and structs of a row group row by row, from the levels of their columns. Each
// column yields the entries of one row after the other, and the schema tells how to assemble them.
//
// Source: "Nested Encoding" and LogicalTypes.md (rules for lists and maps) of
// apache/parquet-format.

import { LIMITS } from '@reembed/shared'
import type { SchemaTree } from 'hyparquet'
import { convert, convertWithDictionary } from 'hyparquet/src/convert.js'
import { readDataPage, readDataPageV2 } from 'hyparquet/src/datapage.js'
import { mapValue } from '../value/map-value.ts'
import {
  type ColumnRange,
  columnError,
  convertAll,
  type Dictionary,
  decodePage,
  openDecoder,
} from './parquet-column.ts'
import type { NestedColumn, PhysicalColumn } from './parquet-footer.ts'
import { unpackPage } from './parquet-page.ts'
import { openPages } from './parquet-pages.ts'

export interface NestedRange extends Omit<ColumnRange, 'leaf'> {
  readonly nested: NestedColumn
}

/** The entries of one row in one column. */
interface RowEntries {
  readonly repetitions: number[]
  readonly definitions: number[]
  /** One for each entry; null where the definition level is too low. */
  readonly values: unknown[]
}

/** A row of one list may not hold more entries: memory is bounded. */
const MAX_ROW_ENTRIES = LIMITS.rowEntries
const ROWS_AT_ONCE = 1_024
const ENTRIES_AT_ONCE = 65_536

/** Yields the values of the rows, some rows at a time; a missing value is null. */
export async function* nestedValues({
  nested,
  ...range
}: NestedRange): AsyncGenerator<unknown[], void, undefined> {
  const columns = nested.leaves.map(leaf => rowsOf({ ...range, leaf }))
  const node = nested.schemaPath.at(-1)
  const assemble = node && assemblerOf(nested.schemaPath, nested.leaves)
  try {
    for (let row = 0; row < range.to; ) {
      const values: unknown[] = []
      let held = 0
      for (; row < range.to && values.length < ROWS_AT_ONCE && held < ENTRIES_AT_ONCE; row++) {
        const entries: RowEntries[] = []
        for (const column of columns) {
          const { done, value } = await column.next()
          if (done)
            throw columnError(
              range.key,
              nested.leaves[0] as PhysicalColumn,
              new Error(`it ends after row ${row}`),
            )
          entries.push(value)
          held += value.values.length
        }
        if (row >= range.from) values.push(assemble?.(entries) ?? null)
      }
      if (values.length > 0) yield values
    }
  } finally {
    await Promise.all(columns.map(column => column.return()))
  }
}

/** Yields the entries of each row of a column. */
async function* rowsOf(range: Omit<ColumnRange, 'to'>): AsyncGenerator<RowEntries, void, undefined> {
  const { key, leaf } = range
  const { decoder, conversion } = openDecoder(range)
  const fail = (cause: unknown): never => {
    throw columnError(key, leaf, cause)
  }
  const above = leaf.schemaPath.slice(1).map(({ element }) => element.repetition_type)
  const levels = above.filter(type => type !== 'REQUIRED').length
  const repetitions = above.filter(type => type === 'REPEATED').length
  let dictionary: Dictionary | undefined
  let open: RowEntries | undefined
  // Rows of other columns are joined by their position, so every column is read from its first row.
  await using pages = await openPages({ ...range, from: 0 }).catch(fail)
  for (let page = await pages.next().catch(fail); page; page = await pages.next().catch(fail)) {
    const { header } = page
    const data = header.data_page_header ?? header.data_page_header_v2
    let entries: RowEntries
    try {
      if (header.type === 'DICTIONARY_PAGE') {
        const read = decodePage(page, decoder, { values: MAX_ROW_ENTRIES, levels, repetitions, dictionary })
        dictionary = read.data && convert(read.data, decoder)
        continue
      }
      if (data === undefined) continue
      const unpacked = unpackPage(page, decoder, { values: MAX_ROW_ENTRIES, levels, repetitions })
      const plain = { ...decoder, codec: 'UNCOMPRESSED' as const }
      const read = unpacked.header.data_page_header
        ? readDataPage(unpacked.body, unpacked.header.data_page_header, plain)
        : readDataPageV2(
            unpacked.body,
            { ...unpacked.header, uncompressed_page_size: unpacked.body.length },
            plain,
          )
      const present = convertAll(
        Array.from(
          convertWithDictionary(read.dataPage, dictionary, data.encoding, decoder) as ArrayLike<unknown>,
        ),
        conversion,
      )
      entries = entriesOf(data.num_values, levels, read, present)
    } catch (error) {
      return fail(error)
    }
    for (const [i, repetition] of entries.repetitions.entries()) {
      if (repetition === 0) {
        if (open) yield open
        open = { repetitions: [], definitions: [], values: [] }
      }
      if (open === undefined) return fail(new Error('its first row has no start'))
      open.repetitions.push(repetition)
      open.definitions.push(entries.definitions[i] ?? 0)
      open.values.push(entries.values[i])
      if (open.values.length > MAX_ROW_ENTRIES)
        fail(new Error(`a row has more than ${MAX_ROW_ENTRIES} values`))
    }
  }
  if (open) yield open
}

function entriesOf(
  count: number,
  levels: number,
  {
    definitionLevels = [],
    repetitionLevels,
  }: { definitionLevels?: number[] | undefined; repetitionLevels: number[] },
  present: readonly unknown[],
): RowEntries {
  // hyparquet leaves levels out where all are the highest, or all are 0.
  const definitions = definitionLevels.length > 0 ? definitionLevels : Array<number>(count).fill(levels)
  const repetitions = repetitionLevels.length > 0 ? repetitionLevels : Array<number>(count).fill(0)
  let next = 0
  const values = definitions.map(level => (level === levels ? (present[next++] ?? null) : null))
  if (next !== present.length) throw new Error(`a page has ${present.length} values for ${next} entries`)
  return { repetitions, definitions, values }
}

/** Reads the value of a node in the current row, and moves behind it. */
type NodeReader = () => unknown

function assemblerOf(
  schemaPath: readonly SchemaTree[],
  leaves: readonly PhysicalColumn[],
): (entries: readonly RowEntries[]) => unknown {
  let row: readonly RowEntries[] = []
  const at = leaves.map(() => 0)
  const indexOf = new Map(leaves.map(({ schemaPath }, i) => [schemaPath.at(-1), i]))
  const levelOf = (path: readonly SchemaTree[], ...types: string[]): number =>
    path.slice(1).filter(({ element }) => types.includes(element.repetition_type ?? '')).length

  function readerOf(path: readonly SchemaTree[]): NodeReader {
    const node = path.at(-1) as SchemaTree
    const below = leaves.flatMap((leaf, i) => (leaf.schemaPath.includes(node) ? [i] : []))
    const [first = 0] = below
    const definition = levelOf(path, 'OPTIONAL', 'REPEATED')
    const repetition = levelOf(path, 'REPEATED')
    const content = contentOf(path)
    const isMissing = (): boolean => (row[first]?.definitions[at[first] ?? 0] ?? 0) < definition
    const skip = (): void => {
      for (const i of below) at[i] = (at[i] ?? 0) + 1
    }
    if (node.element.repetition_type === 'REPEATED') {
      return () => {
        if (isMissing()) {
          skip()
          return []
        }
        const elements: unknown[] = []
        do elements.push(content())
        while (row[first]?.repetitions[at[first] ?? 0] === repetition)
        return elements
      }
    }
    if (node.element.repetition_type !== 'OPTIONAL') return content
    return () => {
      if (!isMissing()) return content()
      skip()
      return null
    }
  }

  /** The reader of a node that is present. */
  function contentOf(path: readonly SchemaTree[]): NodeReader {
    const node = path.at(-1) as SchemaTree
    const leaf = indexOf.get(node)
    if (leaf !== undefined) {
      return () => {
        const value = row[leaf]?.values[at[leaf] ?? 0]
        at[leaf] = (at[leaf] ?? 0) + 1
        return value
      }
    }
    const [child] = node.children
    const { converted_type: type, logical_type: logical } = node.element
    const isOne = node.children.length === 1 && child?.element.repetition_type === 'REPEATED'
    if (isOne && child && (type === 'LIST' || logical?.type === 'LIST')) {
      const list = readerOf([...path, child])
      return isWrapper(node, child)
        ? () => (list() as Record<string, unknown>[]).map(element => Object.values(element)[0])
        : list
    }
    if (isOne && child && (type === 'MAP' || type === 'MAP_KEY_VALUE' || logical?.type === 'MAP')) {
      const entries = readerOf([...path, child])
      return () =>
        mapValue(
          (entries() as Record<string, unknown>[]).map(entry => {
            const [key, value = null] = Object.values(entry)
            return [key, value]
          }),
        )
    }
    const members = node.children.map(child => ({
      name: child.element.name,
      read: readerOf([...path, child]),
    }))
    return () => Object.fromEntries(members.map(({ name, read }) => [name, read()]))
  }

  const read = readerOf(schemaPath)
  return entries => {
    row = entries
    at.fill(0)
    return read()
  }
}

/** Whether the repeated group of a list only wraps its element. */
const isWrapper = ({ element }: SchemaTree, { element: child, children }: SchemaTree): boolean =>
  children.length === 1 && child.name !== 'array' && child.name !== `${element.name}_tuple`
