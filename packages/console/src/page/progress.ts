// How far a run is: the bar with its figures.

import type { RunStatus } from '@reembed/producer'
import { count, counted, dollars, duration } from '@reembed/render'
import { type Html, html } from './html.ts'

export function progressBar(status: RunStatus): Html {
  const { documents, documentsDone, unit, totals, speed, cost } = status
  if (totals || documents === 0) return html``
  const done = Math.min(documentsDone, documents)
  const percent = Math.floor((100 * done) / documents)
  const { documentsPerSecond: rate, secondsLeft } = speed
  return html`<progress max="${documents}" value="${done}" aria-label="Embedded ${unit}s">${percent} %</progress>
<p class="figures"><b>${percent} %</b> <span>${count(documentsDone)} of about ${counted(documents, unit)}</span>${
    rate !== null && html` <span>${rate < 10 ? rate.toFixed(1) : count(rate)} ${unit}s/s</span>`
  }${secondsLeft !== null && html` <span>about ${duration(1000 * secondsLeft)} left</span>`}${
    cost.dollars !== null &&
    html` <span>${dollars(cost.dollars)} so far${cost.projectedDollars !== null && html`, about ${dollars(cost.projectedDollars)} in all`}</span>`
  }</p>`
}
