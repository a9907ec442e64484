// Shows some documents of a planned run as the model will receive them, so that a wrong field or
// template is noticed before anything is embedded.

import { CHARS_PER_TOKEN } from './estimate/count-sample.ts'
import { nonEmptyDocuments } from './estimate/estimate.ts'
import type { QuoteOptions } from './estimate/quote.ts'
import type { InputSample } from './estimate/sample-inputs.ts'

export interface Preview {
  /** Number of inputs in the sample: documents, or chunks of them. */
  readonly inspected: number
  /**
   * Of these: texts that are empty or white space, and records that are rejected for other reasons.
   */
  readonly empty: number
  readonly rejected: number
  /**
   * Percentiles of the tokens per text, over the texts that are not empty. The tokens of the prompt
   * and the special tokens of the model are counted.
   */
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
  readonly prompt: string
  /** Tokens of each text; null where neither tokenizer nor endpoint counts them: then estimated. */
  readonly countTokens: QuoteOptions['countTokens']
  readonly maxInputLength: number | null
}

const SHOWN = 3

/** Summarises a sample: its token counts, its empty and rejected inputs, and a few texts. */
export async function previewRun(
  { clusters }: InputSample,
  { prompt, countTokens, maxInputLength }: PreviewOptions,
): Promise<Preview> {
  const documents = clusters.flatMap(place => place.documents)
  const rejected = clusters.reduce((sum, place) => sum + place.rejected, 0)
  const full = nonEmptyDocuments(documents)
  const texts = full.map(({ text }) => prompt + text)
  const counted = (await countTokens?.(texts)) ?? null
  const counts = texts
    .map((text, i) => counted?.[i] ?? Math.ceil(text.length / CHARS_PER_TOKEN))
    .sort((a, b) => a - b)
  const percentile = (share: number): number => counts[Math.ceil(share * counts.length) - 1] ?? 0
  const step = Math.max(1, Math.floor(full.length / SHOWN))
  return {
    inspected: documents.length + rejected,
    empty: documents.length - full.length,
    rejected,
    tokens: {
      p50: percentile(0.5),
      p95: percentile(0.95),
      p99: percentile(0.99),
      counted: counted !== null,
    },
    overLimit: maxInputLength === null ? 0 : counts.filter(tokens => tokens > maxInputLength).length,
    inputs: Array.from({ length: Math.min(SHOWN, full.length) }, (_, i) => full[i * step]).flatMap(
      document => (document ? [{ id: document.id, text: prompt + document.text }] : []),
    ),
  }
}
