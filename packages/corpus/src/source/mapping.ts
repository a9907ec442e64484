// Maps a record to a document or a reject. A message names the field and the fault and never quotes
// the value.

import {
  createReject,
  describeValue,
  type FieldGetter,
  fieldGetter,
  isInvalidUtf8,
  MAX_RECORD_BYTES,
  type Mapper,
  TypedValue,
  toColumn,
  toId,
  toText,
} from '@reembed/formats'
import type { CarriedColumn, CarriedValue, Document, FieldMapping, Position, Reject } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import { parseTemplate } from './template.ts'

/** Which fields of a record are its id, its text and the carried columns. Fixed in the plan. */
export interface DocumentMapping {
  readonly fields: FieldMapping
  /** Builds the text with this template instead of reading `fields.text`. */
  readonly template?: string | undefined
  /** Columns to carry into the shard. */
  readonly carry?: readonly CarriedColumn[] | undefined
  /** The field of the title. */
  readonly title?: string | undefined
}

/** The path of the field that a column carries. */
export const fieldOfColumn = ({ name, from = name }: CarriedColumn): string => from

/**
 * Makes a mapper of records to documents. @throws ReembedError USAGE for an invalid template or
 * column name.
 */
export function createMapper({ fields, template: source, carry = [], title }: DocumentMapping): Mapper {
  if (carry.some(({ name }) => name === '__proto__')) {
    throw new ReembedError('USAGE', "a column can't be named '__proto__': carry the field under another name")
  }
  const template = source === undefined ? undefined : parseTemplate(source)
  const idAt = fieldGetter(fields.id)
  const textAt = fieldGetter(fields.text)
  const titleAt = title === undefined ? undefined : fieldGetter(title)
  const carried = carry.map(column => ({ ...column, field: fieldGetter(fieldOfColumn(column)) }))
  const used = [
    fields.id,
    ...(template?.fieldPaths ?? [fields.text]),
    ...carry.map(fieldOfColumn),
    ...(title === undefined ? [] : [title]),
  ]
  // Texts are strings, which are always exact.
  const maybeNumbers = [
    idAt,
    ...(template?.fieldPaths ?? []).map(fieldGetter),
    ...carried.map(({ field }) => field),
  ]
  const nulled: Record<string, number> = {}

  function textOf(record: object, position: Position, id: string): string | Reject {
    if (template === undefined) {
      const text = textAt(record)
      if (typeof text === 'string') return text
      if (isInvalidUtf8(text)) return notUtf8(fields.text, position, id)
      return text === undefined || text === null
        ? createReject('missing_text', `field "${fields.text}" is ${describeValue(text)}`, position, id)
        : createReject(
            'invalid_text',
            `field "${fields.text}" is ${describeValue(text)}, expected a string`,
            position,
            id,
          )
    }
    let fault: Reject | undefined
    const text = template.render(record, (name, value) => {
      fault ??= isInvalidUtf8(value)
        ? notUtf8(name, position, id)
        : createReject(
            'invalid_text',
            `field "${name}" is ${describeValue(value)}, expected a string`,
            position,
            id,
          )
    })
    return fault ?? text
  }

  return {
    paths: [...new Set(used)],
    nulled,
    needsExactNumbers(record) {
      for (const field of maybeNumbers) {
        const value = field(record)
        if (typeof value === 'number' || (typeof value === 'object' && value !== null)) return true
      }
      return false
    },
    map(record, position) {
      const id = toId(idAt(record), fields.id)
      if (typeof id !== 'string') return createReject(id.reason, id.message, position)
      const text = textOf(record, position, id)
      if (typeof text !== 'string') return text
      if (text.length * 3 > MAX_RECORD_BYTES && Buffer.byteLength(text) > MAX_RECORD_BYTES) {
        const message = `the text has ${Buffer.byteLength(text)} bytes, the limit is ${MAX_RECORD_BYTES}`
        return createReject('too_large', message, position, id)
      }
      if (carried.length === 0 && titleAt === undefined) return new PlainDocument(id, text, position)
      const values = carriedOf(carried, record, nulled)
      if ('fault' in values) return createReject('invalid_record', values.fault as string, position, id)
      const title = titleAt && titleOf(titleAt(record))
      return { kind: 'document', id, text, position, carried: values, ...(title && { title }) }
    },
  }
}

/** The title of a record as one line; undefined for a value without an obvious text. */
function titleOf(value: unknown): string | undefined {
  if (value === null || (typeof value === 'object' && !(value instanceof TypedValue))) return undefined
  return typeof value === 'string' ? value : toText(value)
}

/**
 * A class because of V8: after the first garbage collections it allocates object literals of this
 * site in the old generation, where only a full collection frees them. Dead documents there retain
 * their texts, which costs more time than the reading.
 */
class PlainDocument implements Document {
  readonly kind = 'document'
  readonly id: string
  readonly text: string
  readonly position: Position

  constructor(id: string, text: string, position: Position) {
    this.id = id
    this.text = text
    this.position = position
  }
}

const notUtf8 = (name: string, position: Position, id: string): Reject =>
  createReject('invalid_utf8', `field "${name}" is not valid UTF-8`, position, id)

/** The values of the columns, or why a column that must hold every value cannot hold one. */
function carriedOf(
  columns: readonly (CarriedColumn & { readonly field: FieldGetter })[],
  record: object,
  nulled: Record<string, number>,
): Record<string, CarriedValue> | { readonly fault: string } {
  const values: Record<string, CarriedValue> = {}
  const unfit: string[] = []
  for (const { name, from = name, type, strict, field } of columns) {
    const value = toColumn(field(record), type)
    if (value === undefined && strict) {
      return { fault: `carried field "${from}" is ${describeUnfit(field(record))}, expected ${type}` }
    }
    if (value === undefined) unfit.push(name)
    values[name] = value ?? null
  }
  for (const name of unfit) nulled[name] = (nulled[name] ?? 0) + 1
  return values
}

/** Describes a value that a column cannot hold, without quoting it. */
function describeUnfit(value: unknown): string {
  if (isInvalidUtf8(value)) return 'not valid UTF-8'
  return typeof value === 'number' || typeof value === 'bigint'
    ? 'a number that the column cannot hold'
    : describeValue(value)
}
