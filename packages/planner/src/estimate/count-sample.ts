// Counts the tokens of a sample within a time limit. The clusters are counted in an order that
// spreads over the corpus, so that those counted when the time ends represent it.

import { setImmediate as turn } from 'node:timers/promises'
import { nonEmptyDocuments } from './estimate.ts'
import type { InputSample, SampleCluster } from './sample-inputs.ts'
import { spreadOrder } from './spread-order.ts'

/** Tokens of each text with framing tokens; null where they cannot be counted. */
export type CountTokens = (texts: readonly string[], signal?: AbortSignal) => Promise<number[] | null>

export interface CountedSample {
  /** The clusters whose texts were counted; all where tokens are estimated. */
  readonly sample: InputSample
  /** Tokens by text, with the prompt. */
  readonly tokensOf: ReadonlyMap<string, number>
  /** Whether they were counted, not estimated from the characters. */
  readonly counted: boolean
}

/**
 * An estimate where neither a tokenizer nor the endpoint counts: for English; other languages have
 * fewer.
 */
export const CHARS_PER_TOKEN = 4

/** Texts and characters that are counted between two checks of the time. */
const BATCH_TEXTS = 64
const BATCH_CHARACTERS = 64 * 1024
/** Time to count the strata that the deadline left without a counted cluster. */
const LATE_MS = 3_000

export interface CountSampleOptions {
  readonly prompt: string
  readonly countTokens: CountTokens | undefined
  /** Further texts to count. */
  readonly more: readonly string[]
  /** Ends the counting; a stratum without a counted cluster has a few seconds more. */
  readonly deadline: AbortSignal | undefined
  /** Called with the number of texts counted, and of all. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

/**
 * Counts the texts of a sample. @throws Error of `countTokens`, except its abort by the deadline
 */
export async function countSample(sample: InputSample, options: CountSampleOptions): Promise<CountedSample> {
  const { prompt, countTokens, more, deadline, onProgress } = options
  const textsOf = (cluster: SampleCluster): string[] =>
    nonEmptyDocuments(cluster.documents).map(({ text }) => prompt + text)
  const estimated = (): CountedSample => ({
    sample,
    counted: false,
    tokensOf: new Map(
      [...sample.clusters.flatMap(textsOf), ...more].map(text => [
        text,
        Math.ceil(text.length / CHARS_PER_TOKEN),
      ]),
    ),
  })
  if (countTokens === undefined) return estimated()
  const tokensOf = new Map<string, number>()
  let late: AbortSignal | undefined
  const limit = (): AbortSignal | undefined => {
    if (!deadline?.aborted) return deadline
    late ??= AbortSignal.timeout(LATE_MS)
    return late
  }
  const count = async (texts: readonly string[]): Promise<boolean> => {
    const tokens = texts.length === 0 ? [] : await countTokens(texts, limit())
    for (const [i, text] of texts.entries()) tokensOf.set(text, tokens?.[i] ?? 0)
    return tokens !== null
  }
  const all = sample.clusters.reduce((sum, cluster) => sum + textsOf(cluster).length, 0)
  const done = new Set<SampleCluster>()
  const strata = new Set<string>()
  try {
    if (!(await count(more))) return estimated()
    for (const batch of batchesOf(spreadOrder(sample.clusters), textsOf)) {
      const due = deadline?.aborted ? batch.filter(({ stratum }) => !strata.has(stratum)) : batch
      if (!(await count(due.flatMap(textsOf)))) return estimated()
      for (const cluster of due) {
        done.add(cluster)
        strata.add(cluster.stratum)
      }
      onProgress?.(tokensOf.size - more.length, all)
      // Counting with a tokenizer is synchronous: timers and progress need a turn.
      await turn()
    }
  } catch (error) {
    if (!deadline?.aborted) throw error
  }
  if ([...sample.units.keys()].some(stratum => !strata.has(stratum))) return estimated()
  const clusters = sample.clusters.filter(cluster => done.has(cluster))
  return { sample: { ...sample, clusters }, tokensOf, counted: true }
}

function* batchesOf(
  clusters: readonly SampleCluster[],
  textsOf: (cluster: SampleCluster) => readonly string[],
): Generator<SampleCluster[], void, undefined> {
  let batch: SampleCluster[] = []
  let [texts, characters] = [0, 0]
  for (const cluster of clusters) {
    batch.push(cluster)
    for (const { length } of textsOf(cluster)) {
      texts += 1
      characters += length
    }
    if (texts < BATCH_TEXTS && characters < BATCH_CHARACTERS) continue
    yield batch
    batch = []
    texts = 0
    characters = 0
  }
  if (batch.length > 0) yield batch
}
