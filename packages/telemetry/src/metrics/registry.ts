// Counters, gauges and histograms of prom-client, with bounded labels. Labels are bounded when a
// metric is declared, by their values or by their number. A metric whose labels grow with the
// corpus would exhaust the memory of its Prometheus.

import * as prometheus from 'prom-client'

/**
 * The values that a label may take, or how many of them there may be. What is beyond is counted as
 * 'other'.
 */
export type LabelBound = readonly string[] | number

/** The labels of a metric, or undefined for one without. */
export type Labels<L extends string> = Readonly<Record<L, string>>
export type LabelBounds<L extends string> = Readonly<Record<L, LabelBound>>

export interface Counter<L extends string> {
  add(by: number, labels: Labels<L>): void
}

export interface Gauge<L extends string> {
  set(value: number, labels: Labels<L>): void
  /** Removes all values. The next scrape contains only the values that are set again. */
  clear(): void
}

export interface Histogram {
  observe(value: number): void
}

/** A metric as it is declared: what dashboards, alerts and their tests know of it. */
export interface MetricDescriptor {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
}

export interface Registry {
  /** Ignores increases that are negative or not finite. `name` ends with `_total`. */
  counter<L extends string>(name: string, help: string, labels: LabelBounds<L>): Counter<L>
  gauge<L extends string>(name: string, help: string, labels: LabelBounds<L>): Gauge<L>
  /**
   * `buckets` are ascending upper bounds, in the unit of the name. Ignores values that are not
   * finite.
   */
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

export const CONTENT_TYPE: string = prometheus.prometheusContentType

/** Makes an empty registry: one for each process, or for each test. */
export function createRegistry(): Registry {
  const registry = new prometheus.Registry()
  const metrics: MetricDescriptor[] = []
  const collectors: (() => void | Promise<void>)[] = []

  function declare(type: MetricDescriptor['type'], name: string, help: string, labels: object = {}) {
    const labelNames = Object.keys(labels)
    metrics.push({ name, type, help, labels: labelNames })
    return { name, help, labelNames, registers: [registry] }
  }

  return {
    metrics,
    counter(name, help, bounds) {
      const counter = new prometheus.Counter(declare('counter', name, help, bounds))
      const { within } = createLabelBounds(bounds)
      // Known values of a single label start at 0, so that a first event shows as a rise.
      // prom-client itself starts a counter without labels at 0.
      const [only, ...more] = Object.entries<LabelBound>(bounds)
      if (only !== undefined && more.length === 0 && typeof only[1] !== 'number') {
        for (const value of only[1]) counter.inc({ [only[0]]: value }, 0)
      }
      return {
        add(by, labels) {
          // prom-client throws on negative and infinite values. A wrong number in the reply of an
          // endpoint must not fail the request that it counts.
          if (by >= 0 && Number.isFinite(by)) counter.inc(within(labels), by)
        },
      }
    },
    gauge(name, help, bounds) {
      const gauge = new prometheus.Gauge(declare('gauge', name, help, bounds))
      const { within, forget } = createLabelBounds(bounds)
      const clear = (): void => {
        forget()
        gauge.reset()
        // prom-client resets a gauge without labels to 0, which reads as a measurement.
        gauge.remove({})
      }
      clear()
      return { set: (value, labels) => gauge.set(within(labels), value), clear }
    },
    histogram(name, help, buckets) {
      const config = { ...declare('histogram', name, help), buckets: [...buckets] }
      const histogram = new prometheus.Histogram(config)
      return {
        observe(value) {
          if (Number.isFinite(value)) histogram.observe(value)
        },
      }
    },
    collect: run => void collectors.push(run),
    async render() {
      await Promise.allSettled(collectors.map(async run => run()))
      return registry.metrics()
    },
  }
}

/** Replaces label values beyond their bound by 'other'. */
function createLabelBounds<L extends string>(bounds: LabelBounds<L>) {
  const entries = Object.entries(bounds) as [L, LabelBound][]
  const seen = new Map<L, Set<string>>(entries.map(([label]) => [label, new Set()]))
  const bounded = (label: L, bound: LabelBound, value: string): string => {
    if (typeof bound !== 'number') return bound.includes(value) ? value : 'other'
    const known = seen.get(label)
    if (known === undefined || known.has(value)) return value
    if (known.size >= bound) return 'other'
    known.add(value)
    return value
  }
  return {
    within(labels: Labels<L>): Record<string, string> {
      const result: Record<string, string> = {}
      for (const [label, bound] of entries) result[label] = bounded(label, bound, labels[label])
      return result
    },
    forget() {
      for (const known of seen.values()) known.clear()
    },
  }
}
