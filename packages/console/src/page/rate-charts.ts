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
      .filter(({ kind, text }) => /^(lost|worker|endpoint|replica)$/.test(kind) || isTrouble(kind, text))
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
    })}${endpointCharts(shown, common)}</div>`
  }
  if (rates.length < 3) return html``
  const times = rates.slice(1).map(({ atMs }) => atMs)
  const charts = rateOf({ times }, name =>
    rates.slice(1).map((point, i) => (1000 * point[name]) / Math.max(1, point.atMs - (rates[i]?.atMs ?? 0))),
  )
  return html`<h2>Rates</h2><p>By the times at which the store got the shards.</p><div class="charts">${charts}</div>`
}

/** How busy the endpoint is; nothing for workers that do not state it. */
function endpointCharts(shown: readonly Sample[], common: Pick<Chart, 'times' | 'markers'>): Html {
  if (!shown.some(({ limit }) => limit > 0)) return html``
  return html`${chart({
    ...common,
    format: short,
    id: 'chart-limit',
    title: 'Inputs at the endpoint',
    series: [
      { name: 'in flight', colour: 1, values: shown.map(({ inFlight }) => inFlight) },
      { name: 'limit', colour: 3, values: shown.map(({ limit }) => limit) },
    ],
  })}${chart({
    ...common,
    format: milliseconds,
    id: 'chart-requests',
    title: 'Time of requests',
    series: [
      { name: 'p50', colour: 1, values: shown.map(({ p50Ms }) => p50Ms) },
      { name: 'p99', colour: 2, values: shown.map(({ p99Ms }) => p99Ms) },
      { name: 'in its queue', colour: 3, values: shown.map(({ queueMs }) => queueMs) },
    ],
  })}${chart({
    ...common,
    format: short,
    id: 'chart-refused',
    title: 'Refusals of the endpoint per second',
    series: [{ name: 'refusals/s', colour: 2, values: shown.map(({ refused }) => refused) }],
  })}`
}

/** '820 ms', '2.5 s' */
const milliseconds = (ms: number): string =>
  ms >= 1_000 ? `${(ms / 1000).toFixed(1)} s` : `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`

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
