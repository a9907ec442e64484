// Templates for texts: '{{ title }}\n\n{{ text }}', the subset of mustache that only names fields.
//
//   Title: {{title}} \n {{text}}           a label belongs to the next field and is omitted if that is empty
//   label  field    sep  field             a separator is written only between two fields that are not empty
//
// The text between two fields is a separator up to its last line break and a label after it.
// Without a line break, all of it is separator. The text after the last field is omitted if that
// field is empty.

import { type FieldGetter, fieldGetter, TypedValue, toText } from '@reembed/formats'
import { ReembedError } from '@reembed/shared'

interface TemplateField {
  readonly separator: string
  readonly label: string
  readonly name: string
  readonly field: FieldGetter
}

export interface Template {
  /** Paths of the named fields, in order. */
  readonly fieldPaths: readonly string[]
  /**
   * Renders the text of a record; empty if all fields are. Calls `onUnsupportedValue` for an object
   * or array.
   */
  render(record: object, onUnsupportedValue: (name: string, value: object) => void): string
}

/** Parses a template. @throws ReembedError USAGE for an invalid template, with the faulty part. */
export function parseTemplate(source: string): Template {
  const parts: TemplateField[] = []
  let end = 0
  for (const match of source.matchAll(/\{\{\{?([^{}]*)\}?\}\}/g)) {
    const name = (match[1] ?? '').replace(/^&/, '').trim()
    if (name === '' || /^[#^>!=]/.test(name)) {
      throw templateError(
        source,
        `'${match[0]}' is not a field name: use only {{ name }}, without sections or logic`,
      )
    }
    const between = source.slice(end, match.index)
    const cut = parts.length === 0 ? 0 : between.lastIndexOf('\n') + 1 || between.length
    parts.push({
      separator: between.slice(0, cut),
      label: between.slice(cut),
      name,
      field: fieldGetter(name),
    })
    end = match.index + match[0].length
  }
  const tail = source.slice(end)
  if (parts.length === 0)
    throw templateError(source, "it contains no field: write '{{ title }}\\n\\n{{ text }}'")
  if (/\{\{|\}\}/.test(tail) || parts.some(({ separator, label }) => /\{\{|\}\}/.test(separator + label))) {
    throw templateError(source, "it has an unmatched '{{' or '}}'")
  }

  return {
    fieldPaths: parts.map(({ name }) => name),
    render(record, onUnsupportedValue) {
      let text = ''
      let lastIsThere = false
      for (const { separator, label, name, field } of parts) {
        const value = field(record)
        const shown = typeof value === 'string' ? value : textOf(value)
        if (shown === undefined) onUnsupportedValue(name, value as object)
        lastIsThere = shown !== undefined && shown !== ''
        if (lastIsThere) text += (text === '' ? '' : separator) + label + shown
      }
      return lastIsThere ? text + tail : text
    },
  }
}

/** Undefined for a value without one obvious textual form. */
function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' && !(value instanceof TypedValue) ? undefined : toText(value)
}

const templateError = (source: string, what: string): ReembedError =>
  new ReembedError('USAGE', `the template ${JSON.stringify(source.slice(0, 80))} is invalid: ${what}`)
