// Chooses the fields of records for the id, the text and the carried columns: those that the user
// named, or the first of the usual names that every sampled object has.

import { fieldGetter, fitsColumn, type ObjectInspection } from '@reembed/formats'
import { CARRIED_TYPES, type CarriedColumn, type CarriedType, type FieldMapping } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'

/** The probes of each object that holds a record. */
export type InspectionsByObject = ReadonlyMap<string, readonly ObjectInspection[]>

/** Groups the probes by object. @throws ReembedError SOURCE_FORMAT if no probe holds a record. */
export function requireRecords(probes: readonly ObjectInspection[]): InspectionsByObject {
  const seen = new Map<string, ObjectInspection[]>()
  for (const one of probes) {
    if (one.fieldNames.length === 0) continue
    const same = seen.get(one.key)
    if (same) same.push(one)
    else seen.set(one.key, [one])
  }
  if (seen.size > 0) return seen
  const bad = probes.find(({ firstError }) => firstError !== undefined) ?? probes[0]
  throw new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(bad?.key)} does not look like JSONL: ${bad?.firstError ?? 'no line in its first bytes is a record'}`,
  )
}

const has = (probes: readonly ObjectInspection[], path: string): boolean =>
  probes.some(one => one.hasField(path))

/**
 * The field that every sampled object has: the one that was named, else the first of the usual
 * names.
 */
export function chooseField(
  seen: InspectionsByObject,
  role: keyof FieldMapping,
  named: string | undefined,
  usual: readonly string[],
): string {
  const candidates = named === undefined ? usual : [named]
  const chosen = candidates.find(name => [...seen.values()].every(probes => has(probes, name)))
  if (chosen !== undefined) return chosen

  const option = `fields.${role}`
  const lacking = [...seen].find(([, probes]) => !candidates.some(name => has(probes, name)))
  if (lacking) {
    const [key, probes] = lacking
    const wanted =
      named === undefined ? `${role} field (tried ${usual.join(', ')})` : `field ${JSON.stringify(named)}`
    const remedy = named === undefined ? `Specify the ${role} field` : `Check the name of the ${role} field`
    throw new ReembedError(
      'FIELD_NOT_FOUND',
      `${JSON.stringify(key)} has no ${wanted}; its fields are ${listOf(probes)}. ${remedy}`,
      { option },
    )
  }
  const each = [...seen].map(
    ([key, probes]) => `${JSON.stringify(key)}: ${candidates.find(name => has(probes, name))}`,
  )
  throw new ReembedError(
    'FIELD_NOT_FOUND',
    `The objects do not share one ${role} field (${each.slice(0, 3).join('; ')}). Embed them in separate runs`,
  )
}

/** @throws ReembedError FIELD_NOT_FOUND if no sampled record has the field, so it is misspelt. */
export function requireField(probes: readonly ObjectInspection[], path: string, option: string): void {
  if (has(probes, path)) return
  throw new ReembedError(
    'FIELD_NOT_FOUND',
    `No sampled record has the field ${JSON.stringify(path)}; their fields are ${listOf(probes)}. Check the name`,
    { option },
  )
}

/**
 * Field names come from the corpus: printed as JSON strings, cut short, and not more than a dozen.
 */
function listOf(probes: readonly ObjectInspection[]): string {
  const names = new Set(probes.flatMap(one => one.fieldNames))
  const shown = [...names].slice(0, 12).map(name => JSON.stringify(name.slice(0, 40)))
  return `${shown.join(', ')}${names.size > shown.length ? ` and ${names.size - shown.length} more` : ''}`
}

/**
 * The columns to carry, each with the type that all sampled values share; text where they share
 * none.
 */
export function carriedColumns(
  probes: readonly ObjectInspection[],
  wanted: readonly string[],
): CarriedColumn[] {
  const columns: CarriedColumn[] = []
  for (const one of wanted) {
    const { name, from, type, strict } = parseCarried(probes, one)
    if (columns.some(known => known.name === name && (known.from ?? known.name) === from)) continue
    requireField(probes, from, 'fields.carry')
    columns.push({
      name,
      type: type ?? commonType(probes, from),
      ...(from !== name && { from }),
      ...(strict && { strict }),
    })
  }
  return columns
}

interface Wanted {
  readonly name: string
  readonly from: string
  readonly type: CarriedType | undefined
  readonly strict: boolean
}

/** '[name=]field[:type][!]', where a field that has the whole name takes precedence. */
function parseCarried(probes: readonly ObjectInspection[], wanted: string): Wanted {
  if (has(probes, wanted)) return { name: wanted, from: wanted, type: undefined, strict: false }
  const strict = wanted.endsWith('!')
  const column = strict ? wanted.slice(0, -1) : wanted
  const [, typed = column, given] = /^(.+):([a-z0-9]+)$/.exec(column) ?? []
  const type = CARRIED_TYPES.find(known => known === given)
  if (given !== undefined && type === undefined) {
    throw new ReembedError(
      'USAGE',
      `cannot carry '${wanted}': '${given}' is not a type, use ${CARRIED_TYPES.join(', ')}`,
      { option: 'fields.carry' },
    )
  }
  const [, name = typed, from = typed] = has(probes, typed) ? [] : (/^([^=]+)=(.+)$/.exec(typed) ?? [])
  return { name, from, type, strict }
}

function commonType(probes: readonly ObjectInspection[], path: string): CarriedType {
  const types = new Set<CarriedType>()
  const field = fieldGetter(path)
  const values: unknown[] = []
  for (const one of probes) {
    const declared = one.fieldTypeOf(path)
    if (declared !== undefined) types.add(declared)
    for (const record of one.records) {
      const value = field(record)
      if (value !== undefined && value !== null) values.push(value)
    }
  }
  for (const value of values) types.add(typeOfValue(value))
  const type = typeOfAll(types)
  // Doubles would round some of the values.
  return values.every(value => fitsColumn(value, type)) ? type : 'string'
}

function typeOfAll(types: ReadonlySet<CarriedType>): CarriedType {
  const [only = 'string', ...others] = types
  if (others.length === 0) return only
  if (types.isSubsetOf(new Set(['int32', 'int64']))) return 'int64'
  return types.isSubsetOf(new Set(['int32', 'int64', 'double'])) ? 'double' : 'string'
}

function typeOfValue(value: unknown): CarriedType {
  if (typeof value === 'boolean') return 'boolean'
  if (typeof value === 'bigint') return 'int64'
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'int64' : 'double'
  return 'string'
}
