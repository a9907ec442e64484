// Small parts that several pages share.

import type { RunStatus, RunStatusState } from '@reembed/producer'
import { duration } from '@reembed/render'
import { type Html, html, type Value } from './html.ts'

/**
 * A time, in UTC; the script of the page writes it in the reader's zone.
 * @param as `clock`: the time of the day; `ago`: the page may write how long ago it was
 */
export function time(ms: number, as: 'full' | 'clock' | 'ago' = 'full'): Html {
  const iso = new Date(ms).toISOString()
  const text = as === 'clock' ? iso.slice(11, 19) : `${iso.slice(0, 16).replace('T', ' ')} UTC`
  return html`<time datetime="${iso}" data-as="${as}">${text}</time>`
}

/** How urgent a state is: its colour, and a sign for readers without colours. */
const TONES: Readonly<Record<RunStatusState, 'good' | 'busy' | 'warn' | 'bad' | 'quiet'>> = {
  planning: 'busy',
  queued: 'busy',
  running: 'busy',
  waiting: 'warn',
  paused: 'warn',
  finishing: 'busy',
  held: 'warn',
  published: 'good',
  replaced: 'quiet',
  superseded: 'quiet',
  cancelled: 'quiet',
  failed: 'bad',
  abandoned: 'bad',
  deleting: 'quiet',
  deleted: 'quiet',
}
const SIGNS = { good: '✓', busy: '▶', warn: '▲', bad: '✕', quiet: '·' } as const

export const toneOf = (state: RunStatusState): string => TONES[state]

export const pill = (state: RunStatusState): Html =>
  html`<span class="pill ${TONES[state]}"><span aria-hidden="true">${SIGNS[TONES[state]]}</span> ${state}</span>`

/** The state, and the rest of the sentence beside it. */
export function stateSentence({ state, sentence, speed, documents, documentsDone }: RunStatus): Html {
  const why = sentence.slice(state.length).replace(/^:? /, '')
  const left = speed.secondsLeft === null ? '' : `, about ${duration(1000 * speed.secondsLeft)} left`
  const share = documents === 0 ? 0 : Math.min(1, documentsDone / documents)
  const how = state === 'running' && why === '' ? `${Math.floor(100 * share)} % done${left}` : why
  return html`${pill(state)} <span class="why">${how}</span>`
}

/** A list of names and values. */
export const facts = (rows: readonly (readonly [Value, Value])[]): Html =>
  html`<dl class="facts">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`

/** A command that the reader may copy; the script adds the button. */
export const command = (text: string): Html => html`<code class="command" data-copy>${text}</code>`

/** A region of the page, which the script replaces when it changes. */
export interface Section {
  readonly id: string
  readonly body: Html
}

/** What a page shows: its regions in order. */
export interface Page {
  readonly title: string
  readonly sections: readonly Section[]
  /** The page states that work for it was refused, because too much of it waits. */
  readonly isRefused?: boolean | undefined
}

export const sectionHtml = ({ id, body }: Section): Html => html`<section id="${id}">${body}</section>`

/** Letters of a run id that name it in a command. */
export const shortId = (run: string): string => run.slice(0, 12)

export const percent = (share: number): string =>
  `${(100 * share).toFixed(share === 0 || share >= 0.0995 ? 0 : 1)} %`
