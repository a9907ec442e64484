// The dialect of CSV as users write and read it: 'separator=semicolon quote=none'.

import { ReembedError } from '@reembed/shared'
import type { CsvDialect, CsvTable } from './corpus.ts'

const SEPARATORS: Readonly<Record<string, string>> = { comma: ',', semicolon: ';', tab: '\t', pipe: '|' }
const QUOTES: Readonly<Record<string, string | null>> = { none: null, double: '"', single: "'" }

/**
 * Parses 'separator=semicolon quote=none escape=backslash header=no', each setting at most once and
 * in any order. @throws ReembedError USAGE that names the setting at fault
 */
export function parseCsvDialect(text: string): CsvDialect {
  return Object.assign({}, ...text.trim().split(/\s+/).map(parseSetting))
}

function parseSetting(setting: string): CsvDialect {
  const [, name = '', given = ''] = /^([a-z]+)=(.+)$/.exec(setting) ?? []
  const character = given.length === 1 ? given : undefined
  const delimiter = SEPARATORS[given] ?? character
  const quote = Object.hasOwn(QUOTES, given) ? QUOTES[given] : character
  if (name === 'separator' && delimiter !== undefined) return { delimiter }
  if (name === 'quote' && quote !== undefined) return { quote }
  if (name === 'escape' && (given === 'double' || given === 'backslash')) return { escaping: given }
  if (name === 'header' && (given === 'yes' || given === 'no')) return { header: given === 'yes' }
  throw new ReembedError(
    'USAGE',
    `'${setting}' is none of separator=<comma, semicolon, tab, pipe or a character>, quote=<none, double, single or a character>, escape=<double or backslash>, header=<yes or no>.`,
    { option: 'csv' },
  )
}

/** Describes how an object is read, for people. */
export function describeCsvDialect({ delimiter, quote = '"', escaping, header }: CsvTable): string {
  const separator = Object.keys(SEPARATORS).find(name => SEPARATORS[name] === delimiter) ?? delimiter
  const quoting =
    quote === null
      ? 'quotes are text'
      : `fields may be in ${quote}, a quote inside is ${escaping === 'backslash' ? 'behind a backslash' : 'doubled'}`
  const names = header === false ? 'no header' : 'columns named by the first line'
  return `separator ${separator}, ${quoting}, ${names}`
}
