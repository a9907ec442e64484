// What a document's text is made of: '{{ title }}\n\n{{ text }}', the part of mustache that only names fields.
//
//   Title: {{title}} \n {{text}}           a label belongs to the field after it and goes with it when it is empty
//   label  field    sep  field             a separator stands only between two fields that are there
//
// The text between two fields is a separator up to its last line break and a label from there on; without a line
// break all of it is separator. What follows the last field goes with that field.

import { ReembedError } from '@reembed/shared'
import { type FieldGetter, fieldGetter } from './field.ts'

interface TemplateField {
  readonly separator: string
  readonly label: string
  readonly name: string
  readonly field: FieldGetter
}

export interface Template {
  /** The paths of the fields it names, in order. */
  readonly fieldPaths: readonly string[]
  /** The text of a record, empty if all its fields are. `onOther` is told of a field that is neither text nor a number. */
  render(record: object, onUnsupportedValue: (name: string, value: object) => void): string
}

/** @throws ReembedError USAGE for what is no template, naming the place. */
export function parseTemplate(source: string): Template {
  const parts: TemplateField[] = []
  let end = 0
  for (const match of source.matchAll(/\{\{\{?([^{}]*)\}?\}\}/g)) {
    const name = (match[1] ?? '').replace(/^&/, '').trim()
    if (name === '' || /^[#^>!=]/.test(name)) {
      throw templateError(
        source,
        `'${match[0]}' is not the name of a field: only {{ name }} is understood, without logic`,
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
    throw templateError(source, "it names no field: write '{{ title }}\\n\\n{{ text }}'")
  if (/\{\{|\}\}/.test(tail) || parts.some(({ separator, label }) => /\{\{|\}\}/.test(separator + label))) {
    throw templateError(source, "there is a '{{' or '}}' without its counterpart")
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

/** Undefined for what has no one obvious form as text. */
function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? undefined : String(value)
}

const templateError = (source: string, what: string): ReembedError =>
  new ReembedError('USAGE', `The template ${JSON.stringify(source.slice(0, 80))} can't be used: ${what}`)
