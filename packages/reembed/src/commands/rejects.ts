import { type FoundReject, readRejects } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { messageOf } from '@reembed/shared'
import { counted, note, printable } from '../format.ts'
import { openExistingOutput, s3OptionsOf } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

interface Flags extends OutputFlags, JsonFlag {
  readonly csv?: boolean
  readonly showText: boolean
}

const TEXT_CHARACTERS = 80
const CSV_COLUMNS = ['file', 'line', 'id', 'reason', 'message', 'text'] as const

/** `reembed rejects [run]`: lists what was not embedded, and why; a finished run is not needed. */
export async function rejects(name: string | undefined, flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  const write = (text: string): void => void process.stdout.write(text)
  if (flags.csv) write(`${CSV_COLUMNS.join(',')}\r\n`)
  let found = 0
  const all = readRejects(store, run, {
    textCharacters: flags.showText ? TEXT_CHARACTERS : 0,
    s3: s3OptionsOf(flags),
    onTextsUnreadable: error =>
      note(`note: no texts, because they cannot be read from the corpus: ${messageOf(error)}`),
  })
  for await (const reject of all) {
    found += 1
    if (flags.csv) write(`${csvOf(reject)}\r\n`)
    else if (flags.json) write(`${JSON.stringify(reject)}\n`)
    else write(`${textOf(reject)}\n`)
  }
  note(`run ${run}: ${counted(found, 'reject')}${found === 0 ? '' : nextStep(run)}`)
}

const nextStep = (run: string): string =>
  `. Correct the documents and run again, which reuses the rest, or embed again what the model refused with \`reembed retry ${run.slice(0, SHORT)} --rejects\``
const SHORT = 8

/**
 * 'docs/a.jsonl:12 d7 empty_text: the text is empty' and, indented, the beginning of the text.
 */
function textOf({ key, line, id, reason, message, text }: FoundReject): string {
  const place = `${key}${line === null ? '' : `:${line}`}`
  const first = [place, ...(id === null || id === key ? [] : [id]), `${reason}: ${message}`]
  const shown = text?.replace(/\s+/g, ' ').trim() ?? ''
  return printable(first.join('  ')) + (shown && `\n    ${printable(shown)}`)
}

/** RFC 4180: quotes are doubled, and a value with a comma, a quote or a line break is quoted. */
function csvOf({ key, line, id, reason, message, text }: FoundReject): string {
  return [key, line ?? '', id ?? '', reason, message, text ?? '']
    .map(value =>
      /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value),
    )
    .join(',')
}
