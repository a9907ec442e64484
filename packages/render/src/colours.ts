// Colours of states, warnings and errors. `styleText` writes none into a pipe, with NO_COLOR, or on
// a terminal without colours. The words stay as they are: a colour repeats what the text states.

import { styleText } from 'node:util'
import { printableLines } from '@reembed/shared'

type Colour = 'green' | 'cyan' | 'yellow' | 'red' | 'dim'

/** Done and right; at work; waits for a person or a server; wrong; of no more interest. */
const COLOURS: Readonly<Record<string, Colour>> = {
  published: 'green',
  verified: 'green',
  ok: 'green',
  running: 'cyan',
  finishing: 'cyan',
  planning: 'cyan',
  queued: 'cyan',
  waiting: 'yellow',
  paused: 'yellow',
  held: 'yellow',
  cancelled: 'yellow',
  warning: 'yellow',
  failed: 'red',
  FAIL: 'red',
  reembed: 'red',
  replaced: 'dim',
  superseded: 'dim',
  abandoned: 'dim',
  deleting: 'dim',
  deleted: 'dim',
  skip: 'dim',
}

const paint = (word: string, stream: NodeJS.WriteStream): string => {
  const colour = COLOURS[word]
  return colour === undefined ? word : styleText(colour, word, { stream })
}

/** Paints the state of the row 'run  <id>  <state> …'. */
export const paintRun = (text: string, stream: NodeJS.WriteStream = process.stdout): string =>
  text.replace(
    /^(run +\w+ +(?:already )?)(\w+)/m,
    (_, before: string, state: string) => before + paint(state, stream),
  )

/** Paints the second column of a list of runs. */
export const paintList = (text: string): string =>
  text.replace(/^((?:\w+|-) +)(\w+)/gm, (_, id: string, state: string) => id + paint(state, process.stdout))

/** Paints the first word of each line: the result of a check, 'warning', 'reembed' of an error. */
export const paintFirst = (text: string, stream: NodeJS.WriteStream): string =>
  text.replace(/^\w+/gm, word => paint(word, stream))

/** `printableLines` of text that was painted: escapes every other sequence. */
export const printablePainted = (text: string): string =>
  text
    .split(PAINTED)
    .map((part, i) => (i % 2 === 1 ? part : printableLines(part)))
    .join('')

/** The sequences of the colours above, and of their ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are sequences of a terminal
const PAINTED = /(\u001b\[(?:2|22|3[1236]|39)m)/
