// The charts of a run on one time axis: of an unfinished run from the samples of the console, of a
// finished one from the times at which the store got its shards.

import { count } from '@reembed/render'
import type { Sample } from '../data/samples.ts'
import { type Chart, chart, type Series } from './chart.ts'
import { type Html, html } from './html.ts'
import type { RunView } from './run-view.ts'

/** Points of a line: a sample is merged with its neighbours beyond it. */
const POINTS = 120

export function rateCharts({ status, history, rates }: RunView): Html {
  const { unit } = status
  /** Documents and tokens per second. */
  const rateOf = (
    of: Pick<Chart, 'times' | 'markers'>,
    values: (name: 'documents' | 'tokens') => Series['values'],
  ): Html =>
    html`${chart({
      ...of,
      format: short,
      id: 'chart-rate',
      title: `${unit === 'chunk' ? 'Chunks' : 'Documents'} per second`,
      series: [{ name: `${unit}s/s`, colour: 1, values: values('documents') }],
    })}${chart({
      ...of,
      format: short,
      id: 'chart-tokens',
      title: 'Tokens per second',
      series: [{ name: 'tokens/s', colour: 2, values: values('tokens') }],
    })}`
  if (history.samples.length > 2) {
    const samples = thinned(history.samples)
    const shown = samples.slice(1)
    const markers = history.events
      .filter(({ kind, text }) => kind === 'lost' || kind === 'endpoint' || isTrouble(kind, text))
      .map(({ atMs, text }) => ({ atMs, text }))
    const common = { times: shown.map(({ atMs }) => atMs), markers }
    return html`<h2>Rates</h2><div class="charts">${rateOf(common, name => perSecond(samples, name))}${chart({
      ...common,
      format: short,
      id: 'chart-jobs',
      title: 'Jobs and workers',
      series: [
        { name: 'active', colour: 1, values: shown.map(({ active }) => active) },
        { name: 'waiting', colour: 3, values: shown.map(({ waiting }) => waiting) },
        { name: 'workers', colour: 2, values: shown.map(({ workers }) => workers) },
      ],
    })}</div>`
  }
  if (rates.length < 3) return html``
  const times = rates.slice(1).map(({ atMs }) => atMs)
  const charts = rateOf({ times }, name =>
    rates.slice(1).map((point, i) => (1000 * point[name]) / Math.max(1, point.atMs - (rates[i]?.atMs ?? 0))),
  )
  return html`<h2>Rates</h2><p>By the times at which the store got the shards.</p><div class="charts">${charts}</div>`
}

const isTrouble = (kind: string, text: string): boolean =>
  kind === 'state' && /^(waiting|paused|held|failed|abandoned|cancelled)/.test(text)

function thinned(samples: readonly Sample[]): readonly Sample[] {
  const step = Math.ceil(samples.length / POINTS)
  return samples.filter((_, i) => i % step === 0 || i === samples.length - 1)
}

/** Null where the counter fell: Redis lost its data, or the run's shards were counted again. */
const perSecond = (samples: readonly Sample[], name: 'documents' | 'tokens'): (number | null)[] =>
  samples.slice(1).map((sample, i) => {
    const before = samples[i]
    if (before === undefined || sample[name] < before[name]) return null
    return (1000 * (sample[name] - before[name])) / Math.max(1, sample.atMs - before.atMs)
  })

/** '12.3k', '4.5', '820': the labels of an axis have little room. */
function short(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`
  if (value >= 10_000) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)}k`
  return value >= 10 || Number.isInteger(value) ? count(value) : value.toFixed(1)
}
