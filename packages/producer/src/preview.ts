// Some documents of a planned run as the model will see them: a wrong field or template shows here, before anything
// is embedded. Reads the start of a few slices.

import {
  chunked,
  type ModelTokenizer,
  readSlice,
  type Slice,
  type SourceRecord,
  splitOptions,
} from '@reembed/shared'
import type { Corpus } from './corpus.ts'
import type { PlannedRun } from './record.ts'
import { createSpread } from './survey.ts'

export interface Preview {
  /** Inputs that were looked at: documents, or chunks of them. */
  readonly looked: number
  /** Of these: texts that are empty or white space, and records that are rejected for other reasons. */
  readonly empty: number
  readonly rejected: number
  /** Percentiles over the texts that are not empty, prompt and framing tokens included. */
  readonly tokens: {
    readonly p50: number
    readonly p95: number
    readonly p99: number
    readonly counted: boolean
  }
  /** Inputs with more tokens than the model takes. */
  readonly overLimit: number
  readonly inputs: readonly { readonly id: string; readonly text: string }[]
}

export interface PreviewOptions {
  /** Counts the tokens; without one they are estimated. */
  readonly tokenizer?: ModelTokenizer | undefined
  readonly maxInputLength: number | null
  readonly signal?: AbortSignal | undefined
}

const SLICES = 4
const INPUTS_PER_SLICE = 50
const SHOWN = 3
/** English; other languages have fewer. */
const CHARS_PER_TOKEN = 4

/** Holds a few slices' first inputs. A run with chunks needs the tokenizer. */
export async function previewRun(
  corpus: Corpus,
  { head, slices }: PlannedRun,
  { tokenizer, maxInputLength, signal }: PreviewOptions,
): Promise<Preview> {
  const { prompt, fields, template, chunking } = head.recipe
  const spread = createSpread<Slice>(SLICES)
  for await (const slice of slices()) spread.add(slice)

  const records: SourceRecord[] = []
  for (const slice of spread.values()) {
    const reader = readSlice(corpus.store, slice, { fields, template, signal })
    const inputs =
      chunking && tokenizer
        ? chunked(reader.records, splitOptions(chunking, tokenizer, prompt))
        : reader.records
    let taken = 0
    for await (const record of inputs) {
      records.push(record)
      taken += 1
      if (taken === INPUTS_PER_SLICE) break
    }
  }

  const documents = records.filter(record => record.kind === 'document')
  const full = documents.filter(({ text }) => text.trim() !== '')
  const counts = full
    .map(({ text }) =>
      tokenizer
        ? tokenizer.count(prompt + text) + tokenizer.special
        : Math.ceil((prompt + text).length / CHARS_PER_TOKEN),
    )
    .sort((a, b) => a - b)
  const percentile = (share: number): number => counts[Math.ceil(share * counts.length) - 1] ?? 0
  const step = Math.max(1, Math.floor(full.length / SHOWN))
  return {
    looked: records.length,
    empty: documents.length - full.length,
    rejected: records.length - documents.length,
    tokens: {
      p50: percentile(0.5),
      p95: percentile(0.95),
      p99: percentile(0.99),
      counted: tokenizer !== undefined,
    },
    overLimit: maxInputLength === null ? 0 : counts.filter(tokens => tokens > maxInputLength).length,
    inputs: Array.from({ length: Math.min(SHOWN, full.length) }, (_, i) => full[i * step]).flatMap(
      document => (document ? [{ id: document.id, text: prompt + document.text }] : []),
    ),
  }
}
