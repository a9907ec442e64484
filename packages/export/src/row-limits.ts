// What a consumer refuses in a row: long ids, long values, characters.

import type { CarriedValue } from '@reembed/protocol'
import type { ConsumedRow, FlatColumn, ShardBatch } from '@reembed/shard'
import { metadataOf, type RowLimits, toJson } from './layout.ts'

/** Why the consumer refuses the row; undefined where it accepts it. */
export function problemOf(
  { id, record }: ConsumedRow,
  columns: readonly FlatColumn[],
  limits: RowLimits,
): string | undefined {
  const ofId = idProblem(id, limits)
  if (ofId !== undefined) return ofId
  for (const column of columns) {
    const problem = valueProblem(record[column.name], column, limits)
    if (problem !== undefined) return problem
  }
  return metadataProblem(record, limits)
}

/** The rows of a batch that the consumer refuses, in order, each with the reason of `problemOf`. */
export function problemsOf(
  batch: ShardBatch,
  columns: readonly FlatColumn[],
  limits: RowLimits,
): ReadonlyMap<number, string> {
  const problems = new Map<number, string>()
  const check = (row: number, problem: string | undefined): void => {
    if (problem !== undefined && !problems.has(row)) problems.set(row, problem)
  }
  // By column: an object for each row would take longer than the checks.
  for (const [row, id] of batch.ids.entries()) check(row, idProblem(id, limits))
  for (const column of columns)
    if (column.type === 'string')
      for (const [row, value] of (batch.extra.get(column.name) ?? []).entries())
        check(row, valueProblem(value, column, limits))
  if (limits.metadataBytes !== undefined) {
    let row = 0
    for (const record of metadataOf(batch)) check(row++, metadataProblem(record, limits))
  }
  return new Map([...problems].sort(([a], [b]) => a - b))
}

function idProblem(id: string, { idBytes, idLength, characters }: RowLimits): string | undefined {
  if (idBytes !== undefined && isLonger(id, idBytes))
    return `an id of ${Buffer.byteLength(id)} bytes, at most ${idBytes} are possible`
  if (idLength !== undefined && id.length > idLength)
    return `an id of ${id.length} characters, at most ${idLength} are possible`
  if (characters?.pattern.test(id)) return `${characters.name} in the id`
  return undefined
}

function valueProblem(
  value: CarriedValue | undefined,
  column: FlatColumn,
  { characters, stringBytes }: RowLimits,
): string | undefined {
  if (typeof value !== 'string') return undefined
  if (characters?.pattern.test(value)) return `${characters.name} in the column ${column.name}`
  const most = stringBytes?.(column)
  if (most !== undefined && isLonger(value, most))
    return `${Buffer.byteLength(value)} bytes in the column ${column.name}, at most ${most} are possible`
  return undefined
}

function metadataProblem(record: ConsumedRow['record'], { metadataBytes }: RowLimits): string | undefined {
  if (metadataBytes === undefined) return undefined
  const bytes = Buffer.byteLength(toJson(record))
  return bytes > metadataBytes
    ? `${bytes} bytes of metadata, at most ${metadataBytes} are possible`
    : undefined
}

/** A UTF-16 unit is at most three bytes, so a short text is not measured. */
const isLonger = (text: string, bytes: number): boolean =>
  text.length * 3 > bytes && Buffer.byteLength(text) > bytes
