// The results of gates, and the queries that got worse.

import type { GateReport } from '@reembed/protocol'
import { type Html, html } from './html.ts'

export function gateTable(report: GateReport | undefined, showWorse = true): Html {
  if (report === undefined || report.results.length === 0) return html``
  const worse = !showWorse ? [] : report.results.flatMap(({ worse = [] }) => worse)
  return html`<h2>Gates</h2><ul class="gates">${report.results.map(
    ({ gate, passed, judged, message }) =>
      html`<li><span class="pill ${passed ? (judged === false ? 'quiet' : 'good') : 'bad'}"><span aria-hidden="true">${passed ? '✓' : '✕'}</span> ${passed ? (judged === false ? 'not judged' : 'passed') : 'failed'}</span> <code>${gate}</code> ${message}</li>`,
  )}</ul>${
    worse.length > 0 &&
    html`<h3>Queries that got worse</h3><div class="scroll" tabindex="0" role="region" aria-label="Queries that got worse"><table><thead><tr><th>Query</th><th class="num">Before</th><th class="num">After</th></tr></thead><tbody>${worse.map(
      ({ query, text, before, after }) =>
        html`<tr><td>${text ?? query} <small class="id">${text === undefined ? '' : query}</small></td><td class="num">${before.toFixed(3)}</td><td class="num">${after.toFixed(3)}</td></tr>`,
    )}</tbody></table></div>`
  }`
}
