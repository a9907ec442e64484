// What a reader can do about the state of a run, as commands to copy.

import { type Html, html } from './html.ts'
import type { Links } from './links.ts'
import { command, shellWord, shortId } from './parts.ts'
import type { RunView } from './run.ts'

export function nextSteps({ status, facts, output }: RunView, links: Links): Html {
  const { state, reason } = status
  const name = shortId(status.run)
  const of = (words: string): Html => command(`reembed ${words} --output ${shellWord(output)}`)
  const steps: Html[] = []
  if (state === 'held') {
    if (facts.current)
      steps.push(
        html`<a href="${links.compare(output, facts.current.run, status.run)}">Compare it with the current version</a>`,
      )
    if (reason === 'rejects') steps.push(html`List the rejects: ${of(`rejects ${name}`)}`)
    steps.push(
      html`Publish it nevertheless: ${of(`publish ${name} --force --reason "…"`)}`,
      html`Give it up: ${of(`cancel ${name} --reason "…"`)}`,
    )
  }
  if (state === 'failed' && reason === 'jobs') steps.push(html`Try again: ${of(`enqueue --source …`)}`)
  if (state === 'paused') steps.push(html`Continue it: ${of(`resume ${name}`)}`)
  if (state === 'waiting' && reason === 'no_worker')
    steps.push(html`Start a worker: ${of('worker --endpoint … --redis …')}`)
  if (state === 'running' || state === 'waiting' || state === 'queued')
    steps.push(html`Pause it: ${of(`pause ${name}`)}`)
  if (state === 'published' || state === 'replaced')
    steps.push(html`Search in it: ${of(`search "some words" --run ${name}`)}`)
  return steps.length === 0
    ? html``
    : html`<ul class="next">${steps.map(step => html`<li>${step}</li>`)}</ul>`
}
