// Markup with escaped values. Ids, reject messages and error texts come from corpora and servers,
// so that every value is escaped unless it is itself markup made here.

/** Markup that may be sent as it is. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export type Value = Html | string | number | null | undefined | false | readonly Value[]

/** A tagged template: escapes each value; a list is joined; null, undefined and false are empty. */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  let text = strings[0] ?? ''
  for (const [i, value] of values.entries()) text += rendered(value) + (strings[i + 1] ?? '')
  return new Html(text)
}

function rendered(value: Value): string {
  if (value instanceof Html) return value.text
  if (value === null || value === undefined || value === false) return ''
  if (typeof value === 'object') return value.map(rendered).join('')
  return escaped(visible(String(value)))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escaped = (text: string): string => text.replace(/[&<>"']/g, char => ENTITIES[char] ?? char)

/**
 * Makes control characters visible: U+0000 to U+001F as the symbols of U+2400 to U+241F, the others
 * and characters that change the direction of the text by their code.
 */
export const visible = (text: string): string =>
  text
    .toWellFormed()
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to show
    .replace(/[\u0000-\u0009\u000b-\u001f]/g, char => String.fromCharCode(0x2400 + char.charCodeAt(0)))
    .replace(
      /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
      char => `[U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}]`,
    )
