// Counters, gauges and histograms in the Prometheus text format, and nothing else. Labels are
// bounded when a metric is declared, by their values or by their number: a metric whose labels grow
// with the corpus would take its Prometheus down with it.
// https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4)

/**
 * The values that a label may take, or how many of them there may be. What is beyond is counted as
 * 'other'.
 */
export type LabelBound = readonly string[] | number

/** The labels of a metric; `{}` for one without. */
export type Labels<L extends string> = Readonly<Record<L, string>>
export type LabelBounds<L extends string> = Readonly<Record<L, LabelBound>>

export interface Counter<L extends string> {
  add(by: number, labels: Labels<L>): void
}

export interface Gauge<L extends string> {
  set(value: number, labels: Labels<L>): void
  /** Forgets all values: a series that is not set again is absent from the next scrape. */
  clear(): void
}

export interface Histogram {
  observe(value: number): void
}

/** The declaration of a metric. Tests compare dashboards and alerts with it. */
export interface MetricDescriptor {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
}

export interface Registry {
  /** Only ever grows; `name` ends with `_total`. */
  counter<L extends string>(name: string, help: string, labels: LabelBounds<L>): Counter<L>
  gauge<L extends string>(name: string, help: string, labels: LabelBounds<L>): Gauge<L>
  /** `buckets` are upper bounds, growing, in the unit of the name. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram
  /**
   * Runs before each scrape: the place to set what is only worth knowing then. A failure leaves the
   * old values.
   */
  collect(run: () => void | Promise<void>): void
  readonly metrics: readonly MetricDescriptor[]
  /** All metrics in the text exposition format. */
  render(): Promise<string>
}

export const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

interface Metric extends MetricDescriptor {
  lines(): string[]
}

/** Makes an empty registry: one for each process, or for each test. */
export function createRegistry(): Registry {
  const metrics: Metric[] = []
  const collectors: (() => void | Promise<void>)[] = []

  function declare<M extends Metric>(metric: M): M {
    if (metrics.some(({ name }) => name === metric.name))
      throw new TypeError(`metric ${metric.name} is declared twice`)
    metrics.push(metric)
    return metric
  }

  return {
    metrics,
    counter: (name, help, labels) => declare(createCounter(name, help, labels)),
    gauge: (name, help, labels) => declare(createGauge(name, help, labels)),
    histogram: (name, help, buckets) => declare(createHistogram(name, help, buckets)),
    collect: run => void collectors.push(run),
    async render() {
      await Promise.allSettled(collectors.map(async run => run()))
      return metrics
        .map(({ name, help, type, lines }) => [
          `# HELP ${name} ${help}`,
          `# TYPE ${name} ${type}`,
          ...lines(),
        ])
        .map(lines => `${lines.join('\n')}\n`)
        .join('')
    },
  }
}

function createCounter<L extends string>(
  name: string,
  help: string,
  bounds: LabelBounds<L>,
): Metric & Counter<L> {
  const series = createSeries(name, bounds, true)
  return { name, help, type: 'counter', ...series, add: series.add }
}

function createGauge<L extends string>(
  name: string,
  help: string,
  bounds: LabelBounds<L>,
): Metric & Gauge<L> {
  const { set, clear, labels, lines } = createSeries(name, bounds, false)
  return { name, help, type: 'gauge', labels, lines, set, clear }
}

/**
 * The values of one metric by their labels. Known combinations start at 0, so that a first event
 * shows as a rise.
 */
function createSeries<L extends string>(name: string, bounds: LabelBounds<L>, fromZero: boolean) {
  const entries = Object.entries(bounds) as [L, LabelBound][]
  const seen = new Map<L, Set<string>>(entries.map(([label]) => [label, new Set()]))
  const values = new Map<string, number>()

  const [only, ...more] = entries
  if (fromZero && only === undefined) values.set('', 0)
  if (fromZero && only !== undefined && more.length === 0 && typeof only[1] !== 'number') {
    for (const value of only[1]) values.set(`{${only[0]}="${value}"}`, 0)
  }

  const within = (label: L, bound: LabelBound, value: string): string => {
    if (typeof bound !== 'number') return bound.includes(value) ? value : 'other'
    const known = seen.get(label)
    if (known === undefined || known.has(value)) return value
    if (known.size >= bound) return 'other'
    known.add(value)
    return value
  }
  const keyOf = (labels: Labels<L>): string =>
    entries.length === 0
      ? ''
      : `{${entries.map(([label, bound]) => `${label}="${escaped(within(label, bound, labels[label]))}"`).join(',')}}`

  return {
    labels: entries.map(([label]) => label),
    add(by: number, labels: Labels<L>) {
      const key = keyOf(labels)
      values.set(key, (values.get(key) ?? 0) + by)
    },
    set(value: number, labels: Labels<L>) {
      values.set(keyOf(labels), value)
    },
    clear() {
      values.clear()
      for (const known of seen.values()) known.clear()
    },
    lines: () => Array.from(values, ([key, value]) => `${name}${key} ${value}`),
  }
}

function createHistogram(name: string, help: string, bounds: readonly number[]): Metric & Histogram {
  const buckets = new Float64Array(bounds.length)
  let sum = 0
  let count = 0
  return {
    name,
    help,
    type: 'histogram',
    labels: [],
    observe(value) {
      sum += value
      count += 1
      const bucket = bounds.findIndex(bound => value <= bound)
      if (bucket >= 0) buckets[bucket] = (buckets[bucket] ?? 0) + 1
    },
    lines() {
      let below = 0
      const rows = bounds.map((bound, i) => {
        below += buckets[i] ?? 0
        return `${name}_bucket{le="${bound}"} ${below}`
      })
      return [...rows, `${name}_bucket{le="+Inf"} ${count}`, `${name}_sum ${sum}`, `${name}_count ${count}`]
    },
  }
}

const escaped = (value: string): string =>
  value.replace(/[\\"\n]/g, char => (char === '\n' ? '\\n' : `\\${char}`))
