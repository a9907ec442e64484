// The page of a run, in the order in which a reader asks: its state, what to do, how far it is,
// what limits it, its shards, its rates, its workers, its rejects, its history.

import type { WorkerState } from '@reembed/queue'
import { count, counted, describeRunStatus, modelText } from '@reembed/render'
import { replicaStates } from '../data/samples.ts'
import type { Viewer } from '../server/session.ts'
import { actionForms } from './action-forms.ts'
import { gateTable } from './gates.ts'
import { type Html, html } from './html.ts'
import { limits } from './limits.ts'
import type { Links } from './links.ts'
import { type CommandOf, nextSteps } from './next-steps.ts'
import { facts, type Page, type Section, stateSentence, time } from './parts.ts'
import { progressBar } from './progress.ts'
import { rateCharts } from './rate-charts.ts'
import type { RunView } from './run-view.ts'
import { shardDetail } from './shard.ts'
import { shardMap } from './shard-map.ts'

/**
 * @param links addresses of other pages; a report has none
 * @param commandOf the commands that the page offers to copy
 * @param viewer the reader, with its rights
 */
export function runPage(view: RunView, links?: Links, commandOf?: CommandOf, viewer?: Viewer): Page {
  const { status } = view
  const sections: Section[] = [
    { id: 'state', body: head(view) },
    nextSteps(view, links, commandOf),
    ...(viewer ? [actionForms(status, view.output, viewer)] : []),
    { id: 'progress', body: progressBar(status) },
    { id: 'limit', body: limits(status) },
    { id: 'shards', body: shards(view, links) },
    { id: 'shard', body: shardDetail(view.shard) },
    { id: 'charts', body: rateCharts(view) },
    { id: 'workers', body: workers(view) },
    { id: 'gates', body: gateTable(view.gates) },
    { id: 'rejects', body: rejects(view, links) },
    { id: 'timeline', body: timeline(view) },
    { id: 'facts', body: allFacts(view) },
  ]
  return { title: `Run ${status.run.slice(0, 12)}: ${status.state}`, sections }
}

function head({ status, output, problem }: RunView): Html {
  const { run, model, plannedMs } = status
  return html`<h1>${stateSentence(status)}</h1>
<p class="sub">Run <span class="id">${run}</span>${model && html` · ${modelText({ model })}`} · <span class="url">${output}</span>${plannedMs !== undefined && html` · planned ${time(plannedMs, 'ago')}`}</p>
${problem && html`<p class="problem" role="alert">The store does not answer: ${problem.text}. ${problem.readMs === undefined ? 'Nothing was read yet.' : html`Shown is what it held at ${time(problem.readMs)}.`}</p>`}`
}

function shards({ cells, output, status, isReading }: RunView, links: Links | undefined): Html {
  return cells === undefined
    ? html`${isReading && html`<h2>Shards</h2><p role="status">Reading the shards …</p>`}`
    : shardMap(cells, links && { path: links.run(output, status.run).split('?')[0] ?? '', output })
}

function workers({ status: { queue } }: RunView): Html {
  if (queue === undefined) return html``
  const { workers: serving, otherWorkers, failures } = queue
  const others = otherWorkers === 0 ? '' : ` ${counted(otherWorkers, 'worker')} of other outputs.`
  return html`<h2>Workers</h2>${
    serving.length === 0
      ? html`<p class="warnline">No worker serves this output.${others}</p>`
      : html`<div class="scroll" tabindex="0" role="region" aria-label="Workers"><table><thead><tr><th>Worker</th><th>Endpoint</th><th>Heartbeat</th></tr></thead><tbody>${serving.map(
          ({ worker, endpoint, atMs }) =>
            html`<tr><td>${worker}</td><td>${endpoint}</td><td>${time(atMs, 'clock')}</td></tr>`,
        )}</tbody></table></div>${others !== '' && html`<p>${others}</p>`}`
  }${replicas(serving)}${failures.map(({ shard, reason }) => html`<p class="warnline">Shard ${shard} failed: ${reason}</p>`)}`
}

/** The replicas of the endpoint, as the workers see them. */
function replicas(serving: readonly WorkerState[]): Html {
  const found = [...replicaStates(serving)].sort(([a], [b]) => a.localeCompare(b))
  if (found.length === 0) return html``
  return html`<h3>Replicas of the endpoint</h3><div class="scroll" tabindex="0" role="region" aria-label="Replicas"><table><thead><tr><th>Replica</th><th>State</th><th>Reason</th></tr></thead><tbody>${found.map(
    ([replica, { state, reason }]) =>
      html`<tr><td>${replica}</td><td${state !== 'in_use' && html` class="warnline"`}>${state.replace('_', ' ')}</td><td>${reason ?? '–'}</td></tr>`,
  )}</tbody></table></div>`
}

function rejects(
  { facts: { manifest }, status, rejectSamples, output }: RunView,
  links: Links | undefined,
): Html {
  const total = manifest?.totals.rejects ?? status.queue?.progress.rejects ?? 0
  if (total === 0) return html``
  const reasons = Object.entries(manifest?.rejectReasons ?? {})
  return html`<h2>Rejects</h2><p>${counted(total, 'document')} rejected.</p>${
    reasons.length > 0 &&
    facts(reasons.sort(([, a], [, b]) => b - a).map(([reason, times]) => [reason, count(times)]))
  }${
    rejectSamples === undefined
      ? links &&
        html`<p><a href="${links.run(output, status.run, { rejects: '1' })}#rejects">Show samples of each reason</a></p>`
      : rejectSamples.map(
          ({ reason, rejects }) =>
            html`<h3>${reason}</h3><ul>${rejects.map(
              ({ id, key, line, offset, message }) =>
                html`<li><span class="id">${id ?? 'without an id'}</span>, ${key} ${line === null ? `byte ${offset}` : `line ${line}`}: ${message}</li>`,
            )}</ul>`,
        )
  }`
}

/** Newest first: a reader wants the latest events. */
function timeline({ recorded, history }: RunView): Html {
  const events = [...recorded, ...history.events].sort((a, b) => b.atMs - a.atMs)
  if (events.length === 0) return html``
  return html`<h2>Timeline</h2><ol class="timeline">${events.map(
    ({ atMs, kind, text }) => html`<li class="event-${kind}">${time(atMs)} <span>${text}</span></li>`,
  )}</ol>`
}

function allFacts({ status }: RunView): Html {
  // Ages are relative to the last change, so that an unchanged run is not sent again.
  const rows = describeRunStatus(status, status.lastProgressMs ?? status.plannedMs ?? 0)
  return html`<details id="all-facts"><summary>All figures</summary>${facts(
    rows.filter(([name]) => name !== 'run' && name !== 'planned'),
  )}</details>`
}
