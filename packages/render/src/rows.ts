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
 * whole, on a line of its own with less indentation where that suffices: a path or an id must be
 * copied as one.
 */
export function wrapped(text: string, columns: number, indent = 0): string {
  if (text.length <= columns || columns <= indent + MIN_WRAP) return text
  const lines: string[] = []
  let rest = text
  for (let room = columns; rest.length > room; room = columns - indent) {
    // Not inside the name of the row.
    const from = lines.length === 0 ? indent : 0
    const before = rest.lastIndexOf(' ', room)
    const after = rest.indexOf(' ', room)
    const wordEnd = after === -1 ? rest.length : after
    const fitsAlone = from > 0 && wordEnd - from <= columns && rest[from - 1] === ' '
    const cut = before > from ? before : fitsAlone ? from : after
    if (cut === -1) break
    lines.push(rest.slice(0, cut).trimEnd())
    rest = rest.slice(cut).trimStart()
  }
  const [first = '', ...others] = [...lines, rest]
  return [first, ...others.map(line => `${' '.repeat(indentOf(line, columns, indent))}${line}`)].join('\n')
}
const MIN_WRAP = 20

const indentOf = ({ length }: string, columns: number, indent: number): number =>
  length > columns ? indent : Math.min(indent, columns - length)
