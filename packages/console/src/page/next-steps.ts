// What a reader can do about the state of a run. The program that serves the page states the
// commands: this package does not know them.

import type { RunStatus } from '@reembed/producer'
import { type Html, html } from './html.ts'
import type { Links } from './links.ts'
import { command, type Section } from './parts.ts'
import type { RunView } from './run-view.ts'

/** A step that a person may take about a run. */
export const STEPS = [
  'list_rejects',
  'publish_anyway',
  'cancel',
  'enqueue',
  'resume',
  'start_worker',
  'pause',
  'search',
  'roll_back',
] as const
export type Step = (typeof STEPS)[number]

/** The command for a step, to copy. */
export type CommandOf = (step: Step, of: { readonly output: string; readonly run: string }) => string

const LABELS: Readonly<Record<Step, string>> = {
  list_rejects: 'List the rejects',
  publish_anyway: 'Publish it nevertheless',
  cancel: 'Give it up',
  enqueue: 'Enqueue its missing shards again',
  resume: 'Continue it',
  start_worker: 'Start a worker',
  pause: 'Pause it',
  search: 'Search in it',
  roll_back: 'Make it current again',
}

function stepsOf({ state, reason }: RunStatus): Step[] {
  switch (state) {
    case 'held':
      return [...(reason === 'rejects' ? ['list_rejects' as const] : []), 'publish_anyway', 'cancel']
    case 'failed':
      return reason === 'jobs' ? ['enqueue'] : []
    case 'paused':
      return ['resume']
    case 'abandoned':
      return ['start_worker', 'cancel']
    case 'waiting':
      return reason === 'no_worker' ? ['start_worker', 'pause'] : ['pause']
    case 'queued':
    case 'running':
      return ['pause']
    case 'published':
      return ['search']
    case 'replaced':
      return ['roll_back', 'search']
    default:
      return []
  }
}

export function nextSteps(
  { status, facts, output }: RunView,
  links: Links | undefined,
  commandOf?: CommandOf,
): Section {
  const { current, run, manifest } = facts
  const steps: Html[] = stepLines(stepsOf(status), { output, run }, commandOf)
  if (links && manifest && current && current.run !== run)
    steps.unshift(
      html`<a href="${links.compare(output, current.run, run)}">Compare it with the current version</a>`,
    )
  return {
    id: 'next',
    body:
      steps.length === 0 ? html`` : html`<ul class="next">${steps.map(step => html`<li>${step}</li>`)}</ul>`,
  }
}

/** A line for each step that has a command. */
export const stepLines = (
  steps: readonly Step[],
  of: { readonly output: string; readonly run: string },
  commandOf: CommandOf | undefined,
): Html[] =>
  commandOf === undefined ? [] : steps.map(step => html`${LABELS[step]}: ${command(commandOf(step, of))}`)
