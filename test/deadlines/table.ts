// The matrix as a table of its worst cells, for the documentation.

import type { Cell } from './matrix.ts'

const worst = (cells: readonly Cell[], of: (cell: Cell) => number | null): string => {
  const known = cells.map(of).filter(ms => ms !== null)
  return known.length === 0 ? '' : `${(Math.max(...known) / 1000).toFixed(1)} s`
}

/** One row for each dependency and failure: the longest times of all commands. */
export function tableOf(cells: readonly Cell[]): string {
  const rows = Map.groupBy(cells, ({ dependency, failure }) => `${dependency} | ${failure}`)
  return [
    '| dependency | failure | commands | first line | end | SIGTERM | exit codes |',
    '|---|---|---|---|---|---|---|',
    ...Array.from(rows, ([name, row]) => {
      const codes = Map.groupBy(
        row.filter(({ code }) => code !== null),
        ({ code }) => code,
      )
      const counted = [...codes]
        .sort((a, b) => b[1].length - a[1].length)
        .map(([code, of]) => `${code} (${of.length})`)
      return `| ${[name, row.length, worst(row, cell => cell.firstLineMs), worst(row, cell => cell.endMs), worst(row, cell => cell.signalMs), counted.join(', ')].join(' | ')} |`
    }),
  ].join('\n')
}
