// Writes what a command says: results on stdout, notes and progress on stderr.

import { alignRows, paintFirst, paintRun, printablePainted, type Row, wrapped } from '@reembed/render'
import { printable, printableLines } from '@reembed/shared'
import { steps } from './step-line.ts'

/** The letters of a run id that name it in a command. */
export const shortId = (run: string): string => run.slice(0, 8)

const columnsOf = (stream: NodeJS.WriteStream): number =>
  stream.isTTY ? stream.columns : Number.POSITIVE_INFINITY

/** Rows as lines that fit the terminal. */
export const facts = (rows: readonly Row[]): string => paintRun(alignRows(rows, columnsOf(process.stdout)))

/** Prints the result of a command: one JSON document, or the text. */
export function print(json: boolean | undefined, value: unknown, text: string): void {
  steps.end()
  const lines = json ? printableLines(JSON.stringify(value, null, 2)) : printablePainted(text)
  process.stdout.write(`${lines}\n`)
}

/** Writes lines of the result of a command on stdout, while the command works on the rest. */
export function write(text: string): void {
  steps.interrupt()
  process.stdout.write(printablePainted(text))
}

/** Writes bytes of a file format on stdout: exact in a pipe, and safe on a terminal. */
export function writeData(text: string): void {
  steps.interrupt()
  process.stdout.write(process.stdout.isTTY ? printableLines(text) : text)
}

/** Writes text in place of the last lines of a terminal. */
export function rewrite(lines: number, text: string): void {
  steps.interrupt()
  if (lines > 0) process.stdout.write(`\x1b[${lines}A\x1b[0J`)
  process.stdout.write(printablePainted(text))
}

/** Prints a note of one line on stderr. */
export const note = (text: string): void => {
  const lines = wrapped(printable(text), columnsOf(process.stderr))
  noteLines(/^warning:/.test(lines) ? paintFirst(lines, process.stderr) : lines)
}

/** Prints lines on stderr. */
export const noteLines = (text: string): void => {
  steps.interrupt()
  process.stderr.write(`${printablePainted(text)}\n`)
}
