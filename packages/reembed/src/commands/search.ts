import { searchRun } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { count, counted } from '@reembed/render'
import { messageOf, printable, ReembedError } from '@reembed/shared'
import { openExistingOutput, openOrStartEndpoint, s3OptionsOf } from '../open-resources.ts'
import type { EndpointFlags, JsonFlag, OutputFlags } from '../options.ts'
import { note, print } from '../output.ts'
import { steps } from '../step-line.ts'

interface Flags extends EndpointFlags, OutputFlags, JsonFlag {
  readonly top: number
  readonly run?: string
  readonly queryPrompt?: string
  readonly showText: boolean
}

const SHOWN_CHARS = 100

/**
 * `reembed search`: embeds the query with the run's own model and compares it with every vector.
 */
export async function search(query: string, flags: Flags): Promise<void> {
  if (query.trim() === '')
    throw new ReembedError('USAGE', 'the text to search for is empty: give at least one character')
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openExistingOutput(flags))
  const run = await findRun(store, flags.run, 'current')
  const hits = await searchRun(store, () => openOrStartEndpoint(flags, stack, { quiet: true }), {
    run,
    query,
    top: flags.top,
    queryPrompt: flags.queryPrompt,
    readTexts: flags.showText,
    s3: s3OptionsOf(flags),
    onProgress: (done, of) => steps.show(`comparing every vector, ${count(done)} of ${counted(of, 'shard')}`),
    onTextsUnreadable: error =>
      note(`note: ids only, because the texts cannot be read from the corpus: ${messageOf(error)}`),
  })
  print(
    flags.json,
    hits,
    hits
      .map(({ id, score, text }) => `${score.toFixed(4)}  ${printable(id)}  ${shorten(text ?? '')}`.trimEnd())
      .join('\n'),
  )
}

function shorten(text: string): string {
  const line = printable(text.replace(/\s+/g, ' ').trim())
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS - 1).trimEnd()}…` : line
}
