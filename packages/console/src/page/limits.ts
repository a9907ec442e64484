// What limits a run: the sentence, the shares of time behind it, and the queue.

import type { RunStatus } from '@reembed/producer'
import { JOB_STAGES, type JobStage, type StageShares } from '@reembed/queue'
import { count } from '@reembed/render'
import { type Html, html } from './html.ts'
import { facts, percent } from './parts.ts'

const NAMES: Readonly<Record<JobStage, string>> = {
  endpoint: 'Endpoint',
  source: 'Corpus',
  store: 'Output',
  redis: 'Redis',
  cpu: 'CPU',
}

export function limits({ bottleneck, queue }: RunStatus): Html {
  if (bottleneck === undefined || queue === undefined) return html``
  const { jobs, workers } = queue
  const { sentence, shares } = bottleneck
  return html`<h2>What limits the run</h2><p>${sentence.charAt(0).toUpperCase() + sentence.slice(1)}.</p>${shares && sharesBar(shares)}${facts(
    [
      ['Workers', count(workers.length)],
      ['Shards in progress', count(jobs.active)],
      ['Waiting', count(jobs.waiting)],
      ...(jobs.delayed > 0 ? [['Delayed', count(jobs.delayed)] as const] : []),
      ...(jobs.failed > 0 ? [['Failed', count(jobs.failed)] as const] : []),
    ],
  )}`
}

/** One bar, cut by the shares; the keys below it have the numbers. */
function sharesBar(shares: StageShares): Html {
  let from = 0
  const parts = JOB_STAGES.map(stage => {
    const x = 100 * from
    from += shares[stage]
    return html`<rect class="stage-${stage}" x="${x.toFixed(1)}" width="${(100 * shares[stage]).toFixed(1)}" height="10"/>`
  })
  return html`<figure class="shares"><figcaption>Time of the workers in the last ten seconds</figcaption><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">${parts}</svg><p class="keys">${JOB_STAGES.map(
    stage => html`<span class="key stage-${stage}">${NAMES[stage]} <b>${percent(shares[stage])}</b></span> `,
  )}</p></figure>`
}
