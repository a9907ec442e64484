// The first page: a card for each output.

import type { RunStatus } from '@reembed/producer'
import { count, dollars, modelText } from '@reembed/render'
import type { NextTick } from '../data/next-ticks.ts'
import type { OutputState } from '../data/watch-outputs.ts'
import { type Html, html } from './html.ts'
import type { Links } from './links.ts'
import { facts, type Page, pill, type Section, shortId, stateSentence, time } from './parts.ts'
import { progressBar } from './progress.ts'

/** @param ticks the schedules of an output */
export function outputsPage(
  outputs: readonly OutputState[],
  links: Links,
  ticks: (output: string) => readonly NextTick[] = () => [],
): Page {
  const cards = outputs.map(
    (output, i): Section => ({ id: `output-${i}`, body: card(output, links, ticks(output.store.url)) }),
  )
  return {
    title: 'Outputs',
    sections: [{ id: 'head', body: html`<h1>Outputs</h1>` }, ...cards],
  }
}

function card(
  { store, runs, planning, current, readMs, problem }: OutputState,
  links: Links,
  ticks: readonly NextTick[],
): Html {
  const published = runs.find(({ status }) => status.run === current?.run)?.status
  const open = runs.map(({ status }) => status).filter(status => isOpen(status))
  return html`<article class="card"><h2>${nameOf(store.url)} <small class="url">${store.url}</small></h2>
${problem !== undefined && html`<p class="problem" role="alert">The store does not answer: ${problem}</p>`}
${readMs === undefined && problem === undefined && html`<p>Reading the store …</p>`}
${readMs !== undefined && current === undefined && html`<p>Nothing is published yet.</p>`}
${
  current !== undefined &&
  facts([
    ['Current version', html`<a href="${links.versions(store.url)}">${current.version}</a>`],
    ['Run', html`<a href="${links.run(store.url, current.run)}">${shortId(current.run)}</a>`],
    ['Model', published?.model ? modelText({ model: published.model }) : '–'],
    ['Rows', published?.totals ? count(published.totals.rows) : '–'],
    ['Since', current.at === undefined ? '–' : time(Date.parse(current.at), 'ago')],
  ])
}
${ticks.map(({ schedule: { name, cron, timezone, when }, atMs }) => html`<p class="tick">Next run of schedule <b>${name}</b>: ${time(atMs)} <small>${cron} ${timezone}, ${when.replace('_', ' ')}</small></p>`)}
${planning.map(({ state, sentence, planner }) => html`<div class="open"><p>${pill(state)} <span class="why">${sentence.slice(state.length + 1)}, by ${planner}</span></p></div>`)}
${open.map(
  status =>
    html`<div class="open"><p><a href="${links.run(store.url, status.run)}">${shortId(status.run)}</a> ${stateSentence(status)}</p>${progressBar(status)}</div>`,
)}
${
  runs.length > 0 &&
  runTable(
    store.url,
    runs.map(({ status }) => status),
    links,
  )
}</article>`
}

/** Runs that change by themselves or wait for a decision. */
const isOpen = ({ state }: RunStatus): boolean =>
  /^(planning|queued|running|waiting|paused|finishing|held|failed)$/.test(state)

const nameOf = (url: string): string => url.replace(/\/+$/, '').split('/').at(-1) || url

function runTable(output: string, runs: readonly RunStatus[], links: Links): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Newest runs"><table><thead><tr><th>Run</th><th>State</th><th>Planned</th><th class="num">Rows</th><th class="num">Cost</th><th>Model</th></tr></thead><tbody>${runs.map(
    status =>
      html`<tr><td><a href="${links.run(output, status.run)}">${shortId(status.run)}</a></td><td>${pill(status.state)}${status.version !== undefined && html` <small>version ${status.version}</small>`}</td><td>${status.plannedMs === undefined ? '–' : time(status.plannedMs)}</td><td class="num">${rowsText(status)}</td><td class="num">${status.cost.projectedDollars === null ? '–' : dollars(status.cost.projectedDollars)}</td><td>${status.model ? modelText({ model: status.model }) : '–'}</td></tr>`,
  )}</tbody></table></div>`
}

const rowsText = ({ totals, documents, documentsDone }: RunStatus): string =>
  totals
    ? count(totals.rows)
    : `${documents === 0 ? 0 : Math.min(100, Math.floor((100 * documentsDone) / documents))} %`
