// Extrapolates from a sample to the corpus: a ratio estimate by stratum, with its 95 % interval.

import type { Document } from '@reembed/protocol'
import type { InputSample, SampleCluster } from './sample-inputs.ts'

export interface Estimate {
  readonly total: number
  /** Half the 95 % interval, as a share of the total. */
  readonly error: number
}

/**
 * Number of neighbouring clusters that share one ratio: enough for a stable ratio, few enough to
 * follow a trend.
 */
const CLUSTERS_PER_GROUP = 4

/**
 * Estimates the total over the corpus of what `of` counts in a cluster. Neighbouring clusters form
 * a group, and the ratio of each group applies to its part of the corpus. The error is that of a
 * stratified ratio estimate (linearised variance) with finite population correction: 0 for a corpus
 * that was read whole.
 */
export function estimateTotal(
  { clusters, units }: InputSample,
  of: (cluster: SampleCluster) => number,
): Estimate {
  let total = 0
  let variance = 0
  for (const [stratum, all] of units) {
    const seen = clusters.filter(cluster => cluster.stratum === stratum && cluster.units > 0)
    const read = sum(seen.map(cluster => cluster.units))
    if (read >= all) {
      total += sum(seen.map(of))
      continue
    }
    const perUnit = all / sum(seen.map(cluster => cluster.representedUnits))
    for (const group of groupsOf(seen)) {
      const represented = perUnit * sum(group.map(cluster => cluster.representedUnits))
      const units = sum(group.map(cluster => cluster.units))
      const ratio = sum(group.map(of)) / units
      total += ratio * represented
      const scatter = sum(group.map(cluster => (of(cluster) - ratio * cluster.units) ** 2))
      const n = group.length
      variance += (1 - read / all) * (n / Math.max(1, n - 1)) * scatter * (represented / units) ** 2
    }
  }
  return { total, error: total === 0 ? 0 : (1.96 * Math.sqrt(variance)) / total }
}

/**
 * Groups of neighbouring clusters, in order. The last group also takes the remainder, which is too
 * small for a group of its own.
 */
function groupsOf(places: readonly SampleCluster[]): SampleCluster[][] {
  const count = Math.max(1, Math.floor(places.length / CLUSTERS_PER_GROUP))
  return Array.from({ length: count }, (_, i) =>
    places.slice(i * CLUSTERS_PER_GROUP, i === count - 1 ? undefined : (i + 1) * CLUSTERS_PER_GROUP),
  ).filter(group => group.length > 0)
}

/** The documents that are sent to the endpoint: those with a text. */
export const nonEmptyDocuments = (documents: readonly Document[]): Document[] =>
  documents.filter(({ text }) => text.trim() !== '')

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
