// What score thresholds become: every switch of the model moves them.

import type { Passed, ThresholdComparison } from '@reembed/protocol'
import { type Html, html } from './html.ts'
import { percent } from './parts.ts'

/** '0.75 with the old model lets through what 0.61 does with the new one' */
export function thresholdSentence({ thresholds }: ThresholdComparison): string | undefined {
  const middle = thresholds[Math.floor(thresholds.length / 2)]
  if (middle === undefined) return undefined
  const { before, unchanged, sameShare } = middle
  return `A threshold of ${cutoff(before)} with the old model lets through ${percent(before.share)} of the results, as ${cutoff(sameShare)} does with the new one; ${cutoff(before)} would let through ${percent(unchanged.share)}.`
}

/** Thresholds, with the number of results of each query that they were measured on. */
export type MeasuredThresholds = ThresholdComparison & { readonly top: number }

export const measuredOn = ({ thresholdsBy, top }: MeasuredThresholds): string =>
  thresholdsBy === 'queries'
    ? `Measured on the ${top} results of each judged query.`
    : `Measured on the ${top} nearest documents of sampled documents, in the place of queries: measure with your queries before you rely on it.`

export function thresholdTable(comparison: MeasuredThresholds): Html {
  const { thresholds } = comparison
  if (thresholds.length === 0) return html``
  const isJudged = thresholds.some(({ before }) => before.precision !== null)
  return html`<h2>Score thresholds</h2><p><b>${thresholdSentence(comparison)}</b></p><p>${measuredOn(comparison)}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Score thresholds"><table><thead><tr><th class="num">Old</th><th class="num">New, same share</th>${isJudged && html`<th class="num">New, same precision</th>`}<th class="num">Old passes</th><th class="num">Kept as it is</th>${isJudged && html`<th class="num">Old precision</th><th class="num">At same share</th>`}</tr></thead><tbody>${thresholds.map(
    ({ before, unchanged, sameShare, samePrecision }) =>
      html`<tr><td class="num">${cutoff(before)}</td><td class="num"><b>${cutoff(sameShare)}</b></td>${isJudged && html`<td class="num"><b>${samePrecision === null ? 'none has it' : html`${cutoff(samePrecision)} <small>passes ${percent(samePrecision.share)}</small>`}</b></td>`}<td class="num">${percent(before.share)}</td><td class="num">passes ${percent(unchanged.share)}</td>${isJudged && html`<td class="num">${precision(before)}</td><td class="num">${precision(sameShare)}</td>`}</tr>`,
  )}</tbody></table></div>`
}

const cutoff = ({ cutoff: value }: Passed): string =>
  Math.round(100 * value) / 100 === value ? value.toFixed(2) : value.toFixed(3)
const precision = ({ precision: value }: Passed): string => (value === null ? '–' : percent(value))
