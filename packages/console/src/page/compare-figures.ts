// The figures of a comparison: the decision, changed neighbours, health, cost.

import type { VersionComparison } from '@reembed/evaluate'
import type { Manifest, RowComparison, ScorePair } from '@reembed/protocol'
import { count, describeComparison, dollars, modelText } from '@reembed/render'
import type { ComparedRuns } from '../data/comparison.ts'
import { type Html, html } from './html.ts'
import { facts, percent, shortId } from './parts.ts'

/** What decides. */
export type Decision = Pick<VersionComparison, 'gates' | 'judged' | 'overlap' | 'top'>

/** One sentence: whether the new run may replace the old one, as far as it was judged. */
export function decisionSentence(of: Decision): string {
  const failed = of.gates?.results.filter(({ passed }) => !passed) ?? []
  if (failed.length > 0) return `Held: ${failed.map(({ message }) => message).join('; ')}.`
  const passed = of.gates === undefined ? 'No gate was judged' : 'Its gates passed'
  return `${passed}. ${changeSentence(of)}`
}

/** What changed: scores of judged queries, and neighbours. */
export function changeSentence({ judged, overlap, top }: Omit<Decision, 'gates'>): string {
  const scores =
    judged === undefined
      ? 'No judged queries'
      : `nDCG@${judged.top} ${difference(judged.ndcg)}, recall@${judged.top} ${difference(judged.recall)}`
  return `${scores}; ${percent(overlap)} of the ${top} nearest documents are the same.`
}

/** '0.912 → 0.871 (-0.041; 95 % interval -0.060 to -0.022)' */
export const difference = ({ before, after, drop: { drop, low, high } }: ScorePair): string =>
  `${before.toFixed(3)} → ${after.toFixed(3)} (${signed(-drop)}; 95 % interval ${signed(-high)} to ${signed(-low)})`
const signed = (value: number): string => `${value < 0 ? '' : '+'}${value.toFixed(3)}`

export function decision(of: Decision): Html {
  const failed = of.gates?.results.some(({ passed }) => !passed) ?? false
  const { judged } = of
  return html`<p class="decision ${failed ? 'warn' : 'quiet'}">${decisionSentence(of)}</p>${
    judged !== undefined &&
    facts([
      [`nDCG@${judged.top}, ${count(judged.queries)} queries`, difference(judged.ndcg)],
      [`Recall@${judged.top}`, difference(judged.recall)],
    ])
  }`
}

export function neighbourChanges({ comparison }: { readonly comparison: RowComparison }): Html {
  const { overlap, overlapCounts, leastOverlap, top, queries, documents } = comparison
  const most = Math.max(1, ...overlapCounts)
  return html`<h2>Neighbours</h2><p>${percent(overlap)} of the ${top} nearest documents are the same, for ${count(queries)} of ${count(documents)} documents.</p>
<table class="histogram"><caption>Documents by the number of their ${top} neighbours that they keep</caption><tbody>${overlapCounts.map(
    (number, kept) =>
      html`<tr><th scope="row" class="num">${kept}</th><td class="num">${count(number)}</td><td><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="bar" width="${((100 * number) / most).toFixed(1)}" height="10"/></svg></td></tr>`,
  )}</tbody></table>
<h3>Documents whose neighbours changed most</h3><ul>${leastOverlap.map(({ id, overlap: kept }) => html`<li><span class="id">${id}</span> keeps ${Math.round(kept * top)} of ${top}</li>`)}</ul>`
}

export function costsAndHealth({ before, after, comparison }: ComparedRuns): Html {
  const rows = describeComparison(before, after, comparison).filter(([name]) =>
    /^(documents|cosines)$/.test(name),
  )
  const column = (name: string, of: (manifest: Manifest, i: 0 | 1) => string): Html =>
    html`<tr><th scope="row">${name}</th><td>${of(before, 0)}</td><td>${of(after, 1)}</td></tr>`
  const { health } = comparison
  return html`<h2>Both runs</h2><div class="scroll" tabindex="0" role="region" aria-label="Both runs"><table><thead><tr><th></th><th>Before</th><th>After</th></tr></thead><tbody>${[
    column('Run', ({ run }) => shortId(run)),
    column('Model', modelText),
    column('Dimensions', ({ model }) => count(model.dimensions)),
    column('Rows', ({ totals }) => count(totals.rows)),
    column('Rejects', ({ totals }) => count(totals.rejects)),
    column('Tokens', ({ totals }) => (totals.tokens === null ? 'not stated' : count(totals.tokens))),
    column('Cost', ({ actualCost }) => (actualCost?.dollars == null ? '–' : dollars(actualCost.dollars))),
    column(
      'Norms',
      (_, i) =>
        `${health[i].norms.mean.toFixed(3)} (${health[i].norms.min.toFixed(3)} to ${health[i].norms.max.toFixed(3)})`,
    ),
    column('Collapsed dimensions', (_, i) => count(health[i].collapsedDimensions)),
    column('Repeated vectors', (_, i) => count(health[i].repeatedVectors)),
  ]}</tbody></table></div>${facts(rows)}`
}
