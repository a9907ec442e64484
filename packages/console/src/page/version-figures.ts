// What the versions scored and cost, as a table and as charts over time.

import { count, dollars } from '@reembed/render'
import type { VersionFigures } from '../data/version-figures.ts'
import { chart, type Series } from './chart.ts'
import { type Html, html } from './html.ts'

const COLOURS = [1, 2, 3] as const

/** @param figures oldest first */
export function versionFigures(figures: readonly VersionFigures[]): Html {
  if (figures.length === 0) return html``
  const metrics = [...new Set(figures.flatMap(({ scores }) => Object.keys(scores)))].sort()
  const score = ({ scores }: VersionFigures, metric: string): string => scores[metric]?.toFixed(3) ?? '–'
  return html`<h2>Scores and cost</h2><div class="scroll" tabindex="0" role="region" aria-label="Scores and cost of the versions"><table><thead><tr><th class="num">Version</th>${metrics.map(metric => html`<th class="num">${metric}</th>`)}<th class="num">Rows</th><th class="num">Tokens</th><th class="num">Cost</th></tr></thead><tbody>${figures
    .toReversed()
    .map(
      each =>
        html`<tr><td class="num">${each.version}</td>${metrics.map(metric => html`<td class="num">${score(each, metric)}</td>`)}<td class="num">${each.rows === undefined ? '–' : count(each.rows)}</td><td class="num">${each.tokens === null ? '–' : count(each.tokens)}</td><td class="num">${each.dollars === null ? '–' : dollars(each.dollars)}</td></tr>`,
    )}</tbody></table></div>${charts(figures, metrics.slice(0, COLOURS.length))}`
}

function charts(figures: readonly VersionFigures[], metrics: readonly string[]): Html {
  const dated = figures.flatMap(each => (each.atMs === undefined ? [] : [{ ...each, atMs: each.atMs }]))
  const times = dated.map(({ atMs }) => atMs)
  const markers = dated.map(({ version, atMs }) => ({ atMs, text: `version ${version}` }))
  const scores = metrics.map(
    (metric, i): Series => ({
      name: metric,
      colour: COLOURS[i] ?? 1,
      values: dated.map(each => each.scores[metric] ?? null),
    }),
  )
  const costs = dated.map(each => each.dollars)
  return html`<div class="charts">${
    scores.length > 0 &&
    chart({
      id: 'chart-scores',
      title: 'Scores',
      times,
      series: scores,
      markers,
      format: value => value.toFixed(3),
    })
  }${
    costs.some(cost => cost !== null) &&
    chart({
      id: 'chart-cost',
      title: 'Cost of the run',
      times,
      series: [{ name: 'dollars', colour: 2, values: costs }],
      markers,
      format: dollars,
    })
  }</div>`
}
