import type { SourceTable } from '@reembed/protocol'
import { bytes, counted } from './numbers.ts'

/** The table that a run reads, and which state of it. */
export function tableText(table: SourceTable): string {
  if (table.format === 'delta')
    return `Delta Lake table, version ${table.version}: ${counted(table.files, 'current file')}`
  const { address, name, rows, snapshot, edited } = table
  const isQdrant = table.format === 'qdrant'
  const [place, row] = isQdrant
    ? [`collection ${name} of ${address}`, 'point']
    : [`table ${name} of ${address}`, 'row']
  if (snapshot === '')
    return `${place}: about ${counted(rows, row)}, of which a sample was read; a run copies them into its output first`
  const copied = `${place}: ${counted(rows, row)} ${isQdrant ? 'as of' : 'of snapshot'} ${snapshot}, copied into the output`
  return edited === undefined
    ? copied
    : `warning: ${copied}, and edited meanwhile: ${edited.blocks} of ${counted(edited.of, 'block')} of rows differ between the last two readings. Points of these may be in an earlier or a later state; the next run takes the rest`
}

/** The copied rows that gc deletes or has deleted; no line without any. */
export const unusedRows = (
  { objects, bytes: size }: { readonly objects: number; readonly bytes: number },
  isDeleted: boolean,
): string[] =>
  objects === 0
    ? []
    : [
        `${isDeleted ? 'deleted  ' : 'deletable'}  rows of tables that no run reads; ${counted(objects, 'object')}, ${bytes(size)}`,
      ]
