// Writes what a command says: results on stdout, notes and progress on stderr.

import { alignRows, type Row, wrapped } from '@reembed/render'
import { paintFirst, paintRun } from './colours.ts'
import { steps } from './step-line.ts'

const columnsOf = (stream: NodeJS.WriteStream): number =>
  stream.isTTY ? stream.columns : Number.POSITIVE_INFINITY

/** Rows as lines that fit the terminal. */
export const facts = (rows: readonly Row[]): string => paintRun(alignRows(rows, columnsOf(process.stdout)))

/** Prints the result of a command: one JSON document, or the text. */
export function print(json: boolean | undefined, value: unknown, text: string): void {
  steps.end()
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`)
}

/** Writes a part of the result of a command on stdout, while the command works on the rest. */
export function write(text: string): void {
  steps.interrupt()
  process.stdout.write(text)
}

/** Prints a note on stderr. */
export const note = (text: string): void => {
  steps.interrupt()
  const lines = text.includes('\n') ? text : wrapped(text, columnsOf(process.stderr))
  process.stderr.write(`${/^warning:/.test(lines) ? paintFirst(lines, process.stderr) : lines}\n`)
}
