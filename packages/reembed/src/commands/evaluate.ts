import type { EndpointResolver } from '@reembed/endpoint'
import { scoreRun } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { counted } from '@reembed/render'
import { ReembedError } from '@reembed/shared'
import { openExistingOutput, openOrStartEndpoint, s3OptionsOf } from '../open-resources.ts'
import type { EndpointFlags, JsonFlag, OutputFlags } from '../options.ts'
import { facts, print } from '../output.ts'
import { steps } from '../step-line.ts'

interface Flags extends EndpointFlags, OutputFlags, JsonFlag {
  readonly gateQueries?: string
  readonly gateQrels?: string
  readonly top: number
  readonly queryPrompt?: string
}

/**
 * `reembed evaluate`: scores a finished run with judged queries, and keeps the scores for gates.
 */
export async function evaluate(name: string | undefined, flags: Flags): Promise<void> {
  const { gateQueries: queriesFile, gateQrels: qrelsFile, top, queryPrompt } = flags
  if (queriesFile === undefined || qrelsFile === undefined) {
    throw new ReembedError('USAGE', 'an evaluation needs queries and their judgements: give both', {
      option: 'gates.queries',
    })
  }
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openExistingOutput(flags))
  const run = await findRun(store, name, 'current')
  const queries = { queriesFile, qrelsFile, s3: s3OptionsOf(flags) }
  const open: EndpointResolver = async () => {
    const endpoint = await openOrStartEndpoint(flags, stack, { quiet: true })
    steps.show('embedding the queries, and comparing them with every vector')
    return endpoint
  }
  const scored = await scoreRun(store, open, { run, queries, top, queryPrompt })
  const { means, missing, judged, worst } = scored
  print(
    flags.json,
    scored,
    facts([
      ['run', `${run}  evaluated with ${counted(scored.queries.length, 'query', 'queries')}`],
      ...Object.entries(means).map(([metric, mean]): [string, string] => [metric, mean.toFixed(3)]),
      ...(missing > 0
        ? [['missing', `${missing} of the ${judged} documents in the qrels are not in the run`] as const]
        : []),
      ...worst.map(({ id, text, recall }): [string, string] => [
        'worst',
        `${recall.toFixed(3)}  ${id}  ${JSON.stringify(text)}`,
      ]),
    ]),
  )
}
