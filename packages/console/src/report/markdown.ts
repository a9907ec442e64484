// A report as Markdown, for a pull request or a ticket. Figures only: charts and maps are in HTML.

import type { GateReport, JudgedComparison } from '@reembed/protocol'
import { count, counted, describeComparison, describeRunStatus } from '@reembed/render'
import type { ComparedRuns } from '../data/comparison.ts'
import { decisionSentence, difference } from '../page/compare-figures.ts'
import { visible } from '../page/html.ts'
import { percent, shortId } from '../page/parts.ts'
import type { RunView } from '../page/run-view.ts'
import { type MeasuredThresholds, measuredOn, thresholdSentence } from '../page/thresholds.ts'

/** Text without meaning for Markdown or HTML. */
export const plain = (text: string): string =>
  visible(text)
    .replaceAll('\n', ' ')
    .replace(/[\\`*_[\]<>|#~&]/g, char => `\\${char}`)

type Cells = readonly string[]

export const table = (head: Cells, rows: readonly Cells[]): string =>
  [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')

export const blocks = (...parts: readonly (string | undefined)[]): string =>
  `${parts.filter(part => part !== undefined && part !== '').join('\n\n')}\n`

export function runMarkdown({ status, facts, gates, output }: RunView, nowMs: number): string {
  const reasons = Object.entries(facts.manifest?.rejectReasons ?? {})
  return blocks(
    `## Run ${shortId(status.run)}: ${plain(status.sentence)}`,
    table(
      ['figure', 'value'],
      [['output', output] as const, ...describeRunStatus(status, nowMs).slice(1)].map(([name, value]) => [
        plain(name),
        plain(value),
      ]),
    ),
    gateLines(gates),
    reasons.length === 0
      ? undefined
      : `### Rejects\n\n${table(
          ['reason', 'documents'],
          reasons.map(([reason, times]) => [plain(reason), count(times)]),
        )}`,
  )
}

const QUERIES_SHOWN = 10

export function comparisonMarkdown({ before, after, comparison }: ComparedRuns): string {
  return blocks(
    `## ${shortId(before.run)} → ${shortId(after.run)}`,
    `**${plain(decisionSentence(comparison))}**`,
    gateLines(comparison.gates),
    judgedMarkdown(comparison.judged),
    thresholdMarkdown(comparison),
    `### Both runs\n\n${table(
      ['figure', 'value'],
      describeComparison(before, after, comparison).map(([name, value]) => [plain(name), plain(value)]),
    )}`,
  )
}

function gateLines(report: GateReport | undefined): string | undefined {
  if (report === undefined || report.results.length === 0) return undefined
  return `### Gates\n\n${table(
    ['gate', 'result', 'figures'],
    report.results.map(({ gate, passed, judged, message }) => [
      plain(gate),
      passed ? (judged === false ? 'not judged' : 'passed') : '**failed**',
      plain(message),
    ]),
  )}`
}

/** The judged queries that got worse, worst first. */
export function judgedMarkdown(judged: JudgedComparison | undefined): string | undefined {
  if (judged === undefined) return undefined
  const { queries, top, ndcg, recall, worse, changes } = judged
  return `### Queries that got worse\n\n${count(worse)} of ${counted(queries, 'query', 'queries')}. nDCG@${top} ${difference(ndcg)}, recall@${top} ${difference(recall)}.\n\n${table(
    ['query', `nDCG@${top}`, `recall@${top}`, 'results in common'],
    changes
      .slice(0, Math.min(QUERIES_SHOWN, worse))
      .map(({ query, text, before: old, after: fresh, common }) => [
        plain(text ?? query),
        `${old.ndcg.toFixed(3)} → ${fresh.ndcg.toFixed(3)}`,
        `${old.recall.toFixed(3)} → ${fresh.recall.toFixed(3)}`,
        `${common} of ${top}`,
      ]),
  )}`
}

/** What score thresholds become. */
export function thresholdMarkdown(of: MeasuredThresholds): string | undefined {
  if (of.thresholds.length === 0) return undefined
  return `### Score thresholds\n\n${thresholdSentence(of)} ${measuredOn(of)}\n\n${table(
    ['old', 'new, same share', 'new, same precision', 'old passes', 'kept as it is'],
    of.thresholds.map(fitted => [
      fitted.before.cutoff.toFixed(2),
      fitted.sameShare.cutoff.toFixed(3),
      fitted.samePrecision === null ? '–' : fitted.samePrecision.cutoff.toFixed(3),
      percent(fitted.before.share),
      `passes ${percent(fitted.unchanged.share)}`,
    ]),
  )}`
}
