import type { SourceTable } from '@reembed/protocol'
import { bytes, counted } from './numbers.ts'

/** The table that a run reads, and which state of it. */
export function tableText(table: SourceTable): string {
  if (table.format === 'delta')
    return `Delta Lake table, version ${table.version}: ${counted(table.files, 'current file')}`
  const { address, name, rows, snapshot } = table
  const place = `table ${name} of ${address}`
  return snapshot === ''
    ? `${place}: about ${counted(rows, 'row')}, of which a sample was read; a run copies them into its output first`
    : `${place}: ${counted(rows, 'row')} of snapshot ${snapshot}, copied into the output`
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
