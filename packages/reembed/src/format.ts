// Formats numbers and facts as text. Results are printed on stdout, notes and progress on stderr.

import { stripVTControlCharacters } from 'node:util'
import type { Manifest } from '@reembed/protocol'
import { steps } from './step-line.ts'

export const count = (n: number): string => Math.round(n).toLocaleString('en-US')

/** '1 object', '2 objects'; '1 query', '2 queries' with its plural. */
export const counted = (n: number, noun: string, plural = `${noun}s`): string =>
  `${count(n)} ${n === 1 ? noun : plural}`

export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, n)) / 10))
  return `${step === 0 ? n : (n / 1024 ** step).toFixed(1)} ${units[step]}`
}

export function duration(ms: number): string {
  const s = Math.round(ms / 1000)
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  if (s < 100) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} m ${s % 60} s`
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`
}

/** At least two significant digits: $1,234, $12.30, $0.0012. */
export function dollars(n: number): string {
  if (n === 0) return '$0'
  const digits = Math.max(n < 100 ? 2 : 0, 1 - Math.floor(Math.log10(Math.abs(n))))
  return `$${n.toLocaleString('en-US', { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits })}`
}

/** 'name   value' lines, the names in one column. */
export function facts(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 3
  const columns = process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY
  return rows
    .map(([name, value]) => wrapped(`${name.padEnd(width)}${printable(value)}`, columns, width))
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

/** Removes escape sequences and control characters from untrusted text, to protect the terminal. */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to remove
  stripVTControlCharacters(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, ' ')

/** The row with the values that became null. Empty if none did. */
export function nulledRow({ nulled = {} }: Manifest['totals']): [string, string][] {
  const columns = Object.entries(nulled).map(([column, values]) => `${column} ${count(values)}`)
  return columns.length === 0 ? [] : [['null values', `${columns.join(', ')}: not exact in their column`]]
}

/**
 * The row with the number of embedded texts and of reused vectors. Empty if no vector was reused.
 */
export function reuseRow({
  totals,
  baseRun,
  unfinishedBaseRuns = [],
}: Pick<Manifest, 'totals' | 'baseRun' | 'unfinishedBaseRuns'>): [string, string][] {
  const { rows, reused = 0 } = totals
  const embedded = `${count(rows - reused)} embedded`
  const runs = [
    ...(baseRun ? [`run ${baseRun.run}`] : []),
    ...unfinishedBaseRuns.map(run => `the unfinished run ${run}`),
  ]
  if (runs.length === 0)
    return reused === 0 ? [] : [['texts', `${embedded}, ${counted(reused, 'duplicate text')}`]]
  const which = runs.length > 1 ? `run ${baseRun?.run}` : 'that run'
  const removed =
    !baseRun || baseRun.removedRows === null
      ? ''
      : `; ${counted(baseRun.removedRows, 'document')} of ${which} no longer exist`
  return [['texts', `${embedded}, ${counted(reused, 'vector')} reused from ${runs.join(' and ')}${removed}`]]
}

/** Prints the result of a command: one JSON document, or the text. */
export function print(json: boolean | undefined, value: unknown, text: string): void {
  steps.end()
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`)
}

/** Prints a note on stderr. */
export const note = (text: string): void => {
  steps.interrupt()
  const columns = process.stderr.isTTY ? process.stderr.columns : Number.POSITIVE_INFINITY
  process.stderr.write(`${text.includes('\n') ? text : wrapped(text, columns)}\n`)
}
