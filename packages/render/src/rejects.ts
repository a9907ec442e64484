// One reject as text and as CSV.

import type { FoundReject } from '@reembed/evaluate'
import { printable } from '@reembed/shared'

/** The columns of `rejectCsv`. */
export const REJECT_COLUMNS = ['file', 'line', 'id', 'reason', 'message', 'text'] as const

/**
 * 'docs/a.jsonl:12 d7 empty_text: the text is empty' and, indented, the beginning of the text.
 */
export function rejectText({ key, line, id, reason, message, text }: FoundReject): string {
  const place = `${key}${line === null ? '' : `:${line}`}`
  const first = [place, ...(id === null || id === key ? [] : [id]), `${reason}: ${message}`]
  const shown = text?.replace(/\s+/g, ' ').trim() ?? ''
  return printable(first.join('  ')) + (shown && `\n    ${printable(shown)}`)
}

/** RFC 4180: quotes are doubled, and a value with a comma, a quote or a line break is quoted. */
export function rejectCsv({ key, line, id, reason, message, text }: FoundReject): string {
  return [key, line ?? '', id ?? '', reason, message, text ?? '']
    .map(value =>
      /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value),
    )
    .join(',')
}
