// Rows of names and values as lines of a terminal.

import { printable } from '@reembed/shared'

/** One fact: its name, and its value as text. */
export type Row = readonly [name: string, value: string]

/**
 * 'name   value' lines, the names in one column.
 * @param columns width of the terminal; without it lines are not broken
 */
export function alignRows(rows: readonly Row[], columns: number = Number.POSITIVE_INFINITY): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 3
  return rows
    .map(([name, value]) => wrapped(`${printable(name).padEnd(width)}${printable(value)}`, columns, width))
    .join('\n')
}

/**
 * Breaks lines at spaces before `columns`, and indents what follows. A word that does not fit stays
 * whole: a path or an id must be copied as one.
 */
export function wrapped(text: string, columns: number, indent = 0): string {
  if (text.length <= columns || columns <= indent + MIN_WRAP) return text
  const lines: string[] = []
  let rest = text
  for (let room = columns; rest.length > room; room = columns - indent) {
    const before = rest.lastIndexOf(' ', room)
    // Not inside the name of the row.
    const cut = before > (lines.length === 0 ? indent : 0) ? before : rest.indexOf(' ', room)
    if (cut === -1) break
    lines.push(rest.slice(0, cut).trimEnd())
    rest = rest.slice(cut).trimStart()
  }
  return [...lines, rest].join(`\n${' '.repeat(indent)}`)
}
const MIN_WRAP = 20
