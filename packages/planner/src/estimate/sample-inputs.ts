// Samples inputs of a planned run: clusters of consecutive records, spread over the corpus, each
// with the part of the corpus that it represents. A total over the corpus is estimated as a ratio:
// (total of the sample) x (size of the corpus / size of the sample). Sizes are in the unit of
// slices: bytes or rows. Tokens per byte vary far less than tokens per document, because a long
// document has more tokens and more bytes.

import { setImmediate as turn } from 'node:timers/promises'
import { chunkDocuments, type ModelTokenizer, readSlice, splitOptionsOf } from '@reembed/corpus'
import { isRowFormat, isWholeFile } from '@reembed/formats'
import type { Document, Slice, SlicePart, SourceRecord } from '@reembed/protocol'
import { mapConcurrent } from '@reembed/shared'
import type { Corpus } from '../corpus.ts'
import type { PlannedRun } from '../record-plan.ts'
import { createEvenSampler } from '../survey.ts'
import { spreadOrder } from './spread-order.ts'

/** Consecutive records of the corpus that are read together. */
export interface SampleCluster {
  /** Format of the objects: units are comparable within one format. */
  readonly stratum: string
  /** Units that were read, and units of the corpus that they represent. */
  readonly units: number
  readonly representedUnits: number
  readonly documents: readonly Document[]
  readonly rejected: number
}

export interface InputSample {
  readonly clusters: readonly SampleCluster[]
  /** Units of the whole corpus by stratum. */
  readonly units: ReadonlyMap<string, number>
}

const MAX_CLUSTERS = 64
const RECORDS_PER_CLUSTER = 8
const RANGES_AT_ONCE = 8

/**
 * Samples about 500 inputs, or those of about `documents` records.
 * @param options.tokenizer needed for a run with chunks only
 */
export async function sampleInputs(
  corpus: Corpus,
  { head, slices }: PlannedRun,
  {
    tokenizer,
    documents: wanted,
    deadline,
    onProgress,
    signal,
  }: {
    readonly tokenizer?: ModelTokenizer | undefined
    readonly documents?: number | undefined
    /** Ends the reading, once each format was read. */
    readonly deadline?: AbortSignal | undefined
    /** Called with the number of ranges read, and of all. */
    readonly onProgress?: ((done: number, of: number) => void) | undefined
    readonly signal?: AbortSignal | undefined
  } = {},
): Promise<InputSample> {
  const { prompt, fields, template, chunking } = head.recipe
  const units = new Map<string, number>()
  const most =
    wanted === undefined
      ? MAX_CLUSTERS
      : Math.max(Math.min(MAX_CLUSTERS, wanted), Math.ceil(wanted / RECORDS_PER_CLUSTER))
  const spread = createEvenSampler<SlicePart>(most)
  for await (const { parts } of slices()) {
    for (const part of parts) {
      units.set(part.format, (units.get(part.format) ?? 0) + (part.end - part.start) / (corpus.share ?? 1))
      spread.add(part)
    }
  }
  const parts = spread.values()
  const perPart = Math.max(1, Math.floor(most / parts.length))
  const ranges = parts.flatMap(part => rangesIn(part, perPart))
  // More records from each range where few ranges exist, as in compressed objects.
  const perRange = Math.max(1, Math.round((wanted ?? MAX_CLUSTERS * RECORDS_PER_CLUSTER) / ranges.length))
  const read = new Map<number, SampleCluster[]>()
  const strata = new Set<string>()
  const due = spreadOrder([...ranges.entries()])
  const reading = mapConcurrent(
    due,
    async ([at, range]) => {
      if (deadline?.aborted && strata.has(range.format)) return undefined
      const clusters = await readClusters(range)
      strata.add(range.format)
      return { at, clusters }
    },
    { concurrency: RANGES_AT_ONCE, signal },
  )
  for await (const found of reading) {
    if (found === undefined) continue
    read.set(found.at, found.clusters)
    onProgress?.(read.size, ranges.length)
    // Chunks are cut synchronously: timers and progress need a turn.
    await turn()
  }
  return { clusters: ranges.flatMap((_, at) => read.get(at) ?? []), units }

  /**
   * The first records of a range, as clusters of a few records each, whose differences estimate the
   * variance.
   */
  async function readClusters(part: SlicePart): Promise<SampleCluster[]> {
    const slice: Slice = { parts: [part] }
    const { records, rangesRead } = readSlice(corpus.store, slice, {
      fields,
      template,
      context: chunking?.context,
      signal,
    })
    const inputs =
      chunking && tokenizer ? chunkDocuments(records, splitOptionsOf(chunking, tokenizer, prompt)) : records
    // The offsets at which records begin, and the inputs of each record: itself or its chunks.
    const begins: number[] = []
    const taken: SourceRecord[][] = []
    let next: number | undefined
    for await (const record of inputs) {
      const { offset } = record.position
      if (offset !== begins.at(-1)) {
        // Reads one record more than it keeps: its offset is the end of the last one.
        if (begins.length === perRange) {
          next = offset
          break
        }
        begins.push(offset)
        taken.push([])
      }
      taken.at(-1)?.push(record)
    }
    // At the start of an object, the bytes before the first record are a header and are counted. At
    // a later offset they are the end of a record that belongs to another cluster, so they are not.
    const start = part.start === 0 ? 0 : (begins[0] ?? 0)
    const end = next ?? rangesRead[0]?.end ?? start
    const count = Math.max(1, Math.ceil(begins.length / RECORDS_PER_CLUSTER))
    return Array.from({ length: count }, (_, place) => {
      const from = place * RECORDS_PER_CLUSTER
      const to = from + RECORDS_PER_CLUSTER
      const records = taken.slice(from, to)
      const documents = records.flat().filter(record => record.kind === 'document')
      const bytes = (begins[to] ?? end) - (place === 0 ? start : (begins[from] ?? end))
      return {
        stratum: part.format,
        units: isRowFormat(part.format) || begins.length === 0 ? records.length : bytes,
        representedUnits:
          ((part.end - part.start) * records.length) / Math.max(1, begins.length) / (corpus.share ?? 1),
        documents,
        rejected: records.flat().length - documents.length,
      }
    })
  }
}

/** Ranges spread evenly over a part that can be read from any offset; else the whole part. */
function rangesIn(part: SlicePart, count: number): SlicePart[] {
  const { format, compression, start, end } = part
  const anywhere = isRowFormat(format) || (format === 'jsonl' && compression === undefined)
  if (!anywhere || isWholeFile(format)) return [part]
  const step = (end - start) / count
  const starts = Array.from({ length: count + 1 }, (_, i) => Math.floor(start + i * step))
  return starts.flatMap((from, i) => {
    const to = i === count ? from : (starts[i + 1] ?? from)
    return to > from ? [{ ...part, start: from, end: to }] : []
  })
}
