// Two runs compared, and a sample of a new model compared with the current version.

import type { Comparison, Health, PreviewScore } from '@reembed/evaluate'
import type { ModelPreview } from '@reembed/planner'
import type { Manifest, PreviewFigures, RowComparison } from '@reembed/protocol'
import { modelText } from './model.ts'
import { count, counted } from './numbers.ts'
import { describeQuote, describeReuse, inputsOf } from './plan.ts'
import type { Row } from './rows.ts'

/** Two runs of an output: their documents, and how the neighbours of documents changed. */
export function describeComparison(before: Manifest, after: Manifest, comparison: Comparison): Row[] {
  const { common, added, removed, health } = comparison
  return [
    ['a', `${before.run}  ${modelText(before)}  ${healthText(health[0])}`],
    ['b', `${after.run}  ${modelText(after)}  ${healthText(health[1])}`],
    ['documents', `${count(common)} in both, ${count(added)} only in b, ${count(removed)} only in a`],
    ...describeCompared(comparison),
  ]
}

function describeCompared(compared: RowComparison): Row[] {
  const { overlap, top, queries, documents, leastOverlap, cosine } = compared
  const changed = leastOverlap.filter(one => one.overlap < 1)
  return [
    [
      'neighbours',
      `${(100 * overlap).toFixed(1)} % of the ${top} nearest documents are the same, for ${count(queries)} of ${count(documents)} documents`,
    ],
    [
      'changed most',
      changed
        .map(one => `${one.id} (keeps ${Math.round(one.overlap * top)} of ${top} neighbours)`)
        .join(', ') || 'no document lost a neighbour',
    ],
    [
      'cosines',
      cosine
        ? `mean ${cosine.mean.toFixed(5)}, minimum ${cosine.min.toFixed(5)}`
        : 'not compared: different models',
    ],
  ]
}

function healthText({ rows, norms, collapsedDimensions, repeatedVectors }: Health): string {
  const norm = `norm ${norms.mean.toFixed(3)} (${norms.min.toFixed(3)} to ${norms.max.toFixed(3)})`
  return `${count(rows)} rows, ${norm}, ${collapsedDimensions} collapsed dimensions, ${count(repeatedVectors)} repeated vectors`
}

/** A sample embedded with a new model, beside the current version. */
export function describeModelPreview(shown: ModelPreview): Row[] {
  const { current, planned, sampled, unknown, refused, answers, health, scores, judgedDocuments, missing } =
    shown
  const { head, reuse, quoted } = planned
  return [
    ['current', `${current.run}  ${modelText(current)}  ${healthText(health[0])}`],
    ['new', `${modelText(head.recipe)}  ${healthText(health[1])}`],
    [
      'sample',
      `${counted(sampled, head.recipe.chunking ? 'chunk' : 'document')} of about ${count(inputsOf(head))}, ${count(unknown)} of them not in the current version, ${count(refused)} refused by the model${answers > 0 ? `; also ${count(answers)} that answer queries` : ''}`,
    ],
    ...describeCompared(shown.compared),
    ...Object.entries(scores ?? {}).map(
      ([metric, score]): Row => [metric, describeScore(score, current.run)],
    ),
    ...(missing > 0
      ? [
          [
            'qrels',
            `${count(missing)} of ${count(judgedDocuments)} judged documents are not in the current version`,
          ] as const,
        ]
      : []),
    ...(reuse ? describeReuse(reuse, false) : []),
    ...(quoted ? describeQuote(quoted.quote) : []),
  ]
}

const RECORDED_QUERIES = 20

/** The same as a record: what others need to see of it, with the queries that got worse first. */
export function modelPreviewRecord(shown: ModelPreview): PreviewFigures {
  const { current, planned, sampled, compared, judged, thresholds, thresholdsBy } = shown
  return {
    run: current.run,
    model: planned.head.recipe.model,
    sampled,
    figures: describeModelPreview(shown).map(([name, value]): [string, string] => [name, value]),
    compared,
    judged: judged && { ...judged, changes: judged.changes.slice(0, RECORDED_QUERIES) },
    thresholds,
    thresholdsBy,
  }
}

/** The same as data, for JSON. */
export function modelPreviewData(shown: ModelPreview): object {
  const { current, planned, sampled, unknown, refused, tokens, compared, health, scores, missing } = shown
  const pairs = Object.entries(scores ?? {}).map(([metric, { before, after }]) => [metric, { before, after }])
  return {
    current: current.run,
    model: planned.head.recipe.model,
    sampled,
    unknown,
    refused,
    tokens,
    ...compared,
    health,
    scores: scores === undefined ? null : Object.fromEntries(pairs),
    missingAnswers: missing,
    reuse: planned.reuse,
    quote: planned.head.quote,
  }
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
