// Untrusted text on a terminal and in shell commands: ids, file names, model names, messages of
// servers. Control characters move the cursor, change the title or paste commands; characters that
// change the direction of text show it in another order than it has.

/**
 * C0 and C1 controls, DEL, line and paragraph separators, marks of direction, and characters that
 * no font shows: names that differ in them alone are shown alike. Joiners stay, because Persian,
 * Indic scripts and emoji need them.
 */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to escape
  /[\u0000-\u001f\u007f-\u009f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu
const LINE_ENDS = /^[\t\n]$/

/** JSON's escapes, so that JSON stays JSON. */
function escaped(character: string): string {
  if (character === '\n') return '\\n'
  if (character === '\r') return '\\r'
  if (character === '\t') return '\\t'
  // Two escapes for a character above U+FFFF, as in JSON.
  return Array.from({ length: character.length }, (_, i) => unit(character.charCodeAt(i))).join('')
}

const unit = (code: number): string => `\\u${code.toString(16).padStart(4, '0')}`

/** A value as text of one line: what a terminal would not print is escaped, line breaks too. */
export const printable = (text: string): string => text.replace(UNPRINTABLE, escaped)

/** Lines of text: line breaks and tabs stay, everything else is as in `printable`. */
export const printableLines = (text: string): string =>
  text.replace(UNPRINTABLE, character => (LINE_ENDS.test(character) ? character : escaped(character)))

/** One word of a POSIX shell, quoted where it needs it. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
