import type { PreviewScore } from '@reembed/evaluate'
import { type ModelPreview, previewModel } from '@reembed/planner'
import { ReembedError } from '@reembed/shared'
import { embedDocuments } from '@reembed/worker'
import { describeQuote, describeReuse } from '../describe-plan.ts'
import { count, counted, facts, print } from '../format.ts'
import { notePlan } from '../notices.ts'
import { openExistingOutput, openSource, requireEndpoint, s3OptionsOf } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { planOptionsOf } from '../requests.ts'
import { describeCompared, healthText, modelOf } from './diff.ts'

interface Flags extends CorpusFlags, OutputFlags, JsonFlag {
  readonly sample: string
  readonly top: number
}

/**
 * `reembed preview`: embeds a sample with the new model, compares it with the current version, and
 * estimates tokens, time and price of the whole run. Writes nothing.
 */
export async function preview(flags: Flags): Promise<void> {
  const { sample, top, gateQueries: queriesFile, gateQrels: qrelsFile } = flags
  if ((queriesFile === undefined) !== (qrelsFile === undefined))
    throw new ReembedError('USAGE', '--gate-queries and --gate-qrels need each other: give both')
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const output = stack.use(await openExistingOutput(flags))
  const shown = await previewModel(corpus, await requireEndpoint(flags), planOptionsOf(flags), {
    output,
    embedDocuments,
    sample,
    top,
    queries:
      queriesFile === undefined || qrelsFile === undefined
        ? undefined
        : { queriesFile, qrelsFile, s3: s3OptionsOf(flags) },
    s3: s3OptionsOf(flags),
    onNotice: notePlan,
  })
  print(flags.json, summaryOf(shown), facts(describe(shown)))
}

/** The shape of --json. */
function summaryOf(shown: ModelPreview) {
  const { current, planned, sampled, unknown, refused, tokens, compared, health, scores, missing } = shown
  return {
    current: current.run,
    model: planned.head.recipe.model,
    sampled,
    unknown,
    refused,
    tokens,
    ...compared,
    health,
    scores:
      scores === undefined
        ? null
        : Object.fromEntries(
            Object.entries(scores).map(([metric, { before, after }]) => [metric, { before, after }]),
          ),
    missingAnswers: missing,
    reuse: planned.reuse,
    quote: planned.head.quote,
  }
}

function describe(shown: ModelPreview): [string, string][] {
  const { current, planned, sampled, unknown, refused, answers, health, scores, judged, missing } = shown
  const { head, reuse, quoted } = planned
  return [
    ['current', `${current.run}  ${modelOf(current)}  ${healthText(health[0])}`],
    ['new', `${modelOf(head.recipe)}  ${healthText(health[1])}`],
    [
      'sample',
      `${counted(sampled, 'document')} of about ${count(head.estimatedDocuments)}, ${count(unknown)} of them not in the current version, ${count(refused)} refused by the model${answers > 0 ? `; also ${count(answers)} that answer queries` : ''}`,
    ],
    ...describeCompared(shown.compared),
    ...Object.entries(scores ?? {}).map(([metric, score]): [string, string] => [
      metric,
      describeScore(score, current.run),
    ]),
    ...(missing > 0
      ? [
          [
            'qrels',
            `${count(missing)} of ${count(judged)} judged documents are not in the current version`,
          ] as [string, string],
        ]
      : []),
    ...(reuse ? describeReuse(reuse, false) : []),
    ...(quoted ? describeQuote(quoted.quote) : []),
  ]
}

function describeScore({ before, after, queries, drop }: PreviewScore, run: string): string {
  const over = `over ${count(queries)} queries within the sample`
  if (before === null || drop === null)
    return `${fixed(after)} ${over}; run ${run} was planned without these queries`
  const { drop: mean, low, high } = drop
  return `${fixed(before)} → ${fixed(after)} (${signed(-mean)}; 95 % interval ${signed(-high)} to ${signed(-low)}) ${over}`
}

const fixed = (value: number): string => value.toFixed(3)
const signed = (value: number): string => `${value < 0 ? '' : '+'}${fixed(value)}`
