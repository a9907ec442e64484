// The Prometheus metrics of TEI 1.9 with its names and buckets (router/src/prometheus.rs): counters
// without the suffix `_total`, durations in seconds.

export interface Metrics {
  count(name: CounterName, labels?: Readonly<Record<string, string>>): void
  observe(name: HistogramName, value: number): void
  setQueueSize(size: number): void
  /** The text exposition format. */
  render(): string
}

type CounterName =
  | 'te_request_count'
  | 'te_request_success'
  | 'te_request_failure'
  | 'te_embed_count'
  | 'te_embed_success'

type HistogramName =
  | `te_${'request' | 'embed'}_${'' | 'tokenization_' | 'queue_' | 'inference_'}duration`
  | 'te_request_input_length'
  | 'te_batch_next_size'
  | 'te_batch_next_tokens'

export function createMetrics(maxInputLength: number): Metrics {
  const counters = new Map<CounterName, Map<string, number>>()
  const histograms = new Map<HistogramName, Histogram>()
  let queueSize = 0

  return {
    count(name, labels = {}) {
      const key = Object.entries(labels)
        .map(([label, value]) => `${label}="${value}"`)
        .join(',')
      const series = counters.get(name) ?? new Map<string, number>()
      counters.set(name, series.set(key, (series.get(key) ?? 0) + 1))
    },
    observe(name, value) {
      let histogram = histograms.get(name)
      if (histogram === undefined) {
        histogram = createHistogram(boundsOf(name, maxInputLength))
        histograms.set(name, histogram)
      }
      histogram.observe(value)
    },
    setQueueSize(size) {
      queueSize = size
    },
    render() {
      const lines: string[] = []
      for (const [name, series] of counters) {
        lines.push(`# TYPE ${name} counter`)
        for (const [key, value] of series) lines.push(`${name}${key === '' ? '' : `{${key}}`} ${value}`)
        lines.push('')
      }
      lines.push('# TYPE te_queue_size gauge', `te_queue_size ${queueSize}`, '')
      for (const [name, histogram] of histograms) lines.push(...histogram.lines(name), '')
      return `${lines.join('\n')}\n`
    },
  }
}

interface Histogram {
  observe(value: number): void
  lines(name: string): string[]
}

function createHistogram(bounds: readonly number[]): Histogram {
  const buckets = new Float64Array(bounds.length)
  let sum = 0
  let count = 0
  return {
    observe(value) {
      sum += value
      count += 1
      const bucket = bounds.findIndex(bound => value <= bound)
      if (bucket >= 0) buckets[bucket] = (buckets[bucket] ?? 0) + 1
    },
    lines(name) {
      let below = 0
      const rows = bounds.map((bound, i) => {
        below += buckets[i] ?? 0
        return `${name}_bucket{le="${bound}"} ${below}`
      })
      return [
        `# TYPE ${name} histogram`,
        ...rows,
        `${name}_bucket{le="+Inf"} ${count}`,
        `${name}_sum ${sum}`,
        `${name}_count ${count}`,
      ]
    },
  }
}

const powersOfTwo = (count: number): number[] => Array.from({ length: count }, (_, i) => 2 ** i)

function boundsOf(name: HistogramName, maxInputLength: number): number[] {
  switch (name) {
    case 'te_request_input_length':
      return powersOfTwo(20).filter(bound => bound <= maxInputLength)
    case 'te_batch_next_size':
      return powersOfTwo(13)
    case 'te_batch_next_tokens':
      return powersOfTwo(21)
    default:
      return Array.from({ length: 35 }, (_, i) => 0.00001 * 1.5 ** (i + 1))
  }
}
