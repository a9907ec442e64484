// Formats allow two columns, members of a struct or keys of a JSON object to have one name. Which
// of them is meant is a guess, so a field that is read must be the only one of its name.

import { ReembedError } from '@reembed/shared'

/** @throws ReembedError SOURCE_FORMAT if two of the names at one level are `name` */
export function requireOne(key: string, names: readonly string[], name: string): void {
  if (names.indexOf(name) !== names.lastIndexOf(name)) throw columnTwice(key, name)
}

export const columnTwice = (key: string, name: string): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} has two columns named ${JSON.stringify(name)}: rename one`,
  )

/** @throws Error if two members of a struct have one name: as JSON it would lose the first */
export function requireNames(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new Error(`members include ${JSON.stringify(twice)} twice`)
}

/**
 * The paths of the keys that occur twice in one object of a text that JSON.parse accepts; it keeps
 * the last. Elements of a list have the path of the list.
 */
export function repeatedKeys(json: string): Set<string> {
  const repeated = new Set<string>()
  const open: { readonly path: string; readonly keys: Set<string> | undefined }[] = []
  let key = ''
  let string: string | undefined
  for (const token of tokensOf(json)) {
    const around = open.at(-1)
    if (token === '{' || token === '[') {
      const path = around === undefined ? '' : around.keys === undefined ? around.path : key
      open.push({ path, keys: token === '{' ? new Set() : undefined })
    } else if (token === '}' || token === ']') open.pop()
    else if (token === ':' && around?.keys && string !== undefined) {
      const name = JSON.parse(string) as string
      key = around.path === '' ? name : `${around.path}.${name}`
      if (around.keys.has(name)) repeated.add(key)
      around.keys.add(name)
    }
    string = token.startsWith('"') ? token : undefined
  }
  return repeated
}

const PUNCTUATION = /["{}[\]:]/g

/**
 * The strings of a JSON text, and its punctuation without commas. A pattern for a whole string
 * would exhaust the stack of V8 in a long one with many escapes.
 */
function* tokensOf(json: string): Generator<string, void, undefined> {
  let end = 0
  for (const { 0: mark, index } of json.matchAll(PUNCTUATION)) {
    if (index < end) continue
    end = mark === '"' ? endOfString(json, index) : index + 1
    yield json.slice(index, end)
  }
}

/** Where the string ends whose opening quote is at `start`. */
function endOfString(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at += 1) {
    const unit = json[at]
    if (unit === '"') return at + 1
    if (unit === '\\') at += 1
  }
  return json.length
}
