import { readRejects } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { counted, REJECT_COLUMNS, rejectCsv, rejectText } from '@reembed/render'
import { messageOf, shellWord } from '@reembed/shared'
import { openExistingOutput, s3OptionsOf } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { note, shortId, write, writeData } from '../output.ts'

interface Flags extends OutputFlags, JsonFlag {
  readonly csv?: boolean
  readonly showText: boolean
}

const TEXT_CHARACTERS = 80

/** `reembed rejects [run]`: lists what was not embedded, and why; a finished run is not needed. */
export async function rejects(name: string | undefined, flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  if (flags.csv) writeData(`${REJECT_COLUMNS.join(',')}\r\n`)
  let found = 0
  const all = readRejects(store, run, {
    textCharacters: flags.showText ? TEXT_CHARACTERS : 0,
    s3: s3OptionsOf(flags),
    onTextsUnreadable: error =>
      note(`note: no texts, because they cannot be read from the corpus: ${messageOf(error)}`),
  })
  for await (const reject of all) {
    found += 1
    if (flags.csv) writeData(`${rejectCsv(reject)}\r\n`)
    else if (flags.json) write(`${JSON.stringify(reject)}\n`)
    else write(`${rejectText(reject)}\n`)
  }
  note(`run ${run}: ${counted(found, 'reject')}${found === 0 ? '' : nextStep(run, store.url)}`)
}

const nextStep = (run: string, output: string): string =>
  `. Correct the documents and run again, which reuses the rest, or embed again what the model refused with \`reembed retry ${shortId(run)} --rejects --output ${shellWord(output)}\``
