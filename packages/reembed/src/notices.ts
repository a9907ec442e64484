// Prints the notices of planning and previews on stderr, with the flags that change them.

import { describePlanStep, type PreviewNotice, type PromptMismatch } from '@reembed/planner'
import { describeCsvDialect, type TextEstimate } from '@reembed/protocol'
import { columnFitText, count, counted, namesText, tableText, unreadForecast } from '@reembed/render'
import { messageOf } from '@reembed/shared'
import { note } from './output.ts'
import { steps } from './step-line.ts'

export function notePlan(notice: PreviewNotice): void {
  if (notice.kind === 'progress') steps.show(`planning: ${describePlanStep(notice)}`)
  else note(textOf(notice))
}

type Progress = Extract<PreviewNotice, { readonly kind: 'progress' }>

function textOf(notice: Exclude<PreviewNotice, Progress>): string {
  switch (notice.kind) {
    case 'chunked_by_default':
      return `note: some files exceed the ${count(notice.limit)} tokens that the model reads, so documents are split into chunks. --chunk-tokens sets their length, --no-chunk embeds only the beginning of each file`
    case 'tokenizer_not_found':
      return `warning: some files exceed the ${count(notice.limit)} tokens that the model reads, and cannot be split into chunks: ${notice.reason} (--tokenizer)`
    case 'tokens_measured':
      return `note: the model's tokenizer was not found (${notice.reason}), so chunks are cut by what texts cost at ${notice.url}/tokenize. Give the model's with --tokenizer`
    case 'tokens_measured_before':
      return "note: chunks are cut by the token costs that an earlier run measured, so that unchanged texts keep their vectors. --tokenizer takes the model's own, and embeds every chunk again"
    case 'text_unread':
      return `${unreadForecast(notice.texts)}. ${remedyOf(notice.texts)}`
    case 'limits_kept':
      return `warning: this run was planned before, and its plan keeps ${notice.limits.map(({ name, kept, given }) => `${name}: ${kept} (given now: ${given})`).join('; ')}. What is given now applies to later runs. Another --documents-per-shard plans a run of its own with it, which keeps the vectors of this one`
    case 'endpoint_state':
      return `endpoint  ${notice.state}`
    case 'revision_unstated':
      return `note: ${notice.url} does not state the revision of its model; its reference vectors identify the model instead. Specify it with --revision`
    case 'prompt_mismatch':
      return `warning: ${describePromptMismatch(notice.mismatch)}`
    case 'server_prompt':
      return `note: ${notice.url} adds ${JSON.stringify(notice.prompt)} before every text`
    case 'objects_empty':
      return `note: ${counted(notice.count, 'object')} without a byte, which ${notice.count === 1 ? 'is no document' : 'are no documents'}: ${namesText(notice)}`
    case 'objects_skipped':
      return `note: ${counted(notice.count, 'object')} skipped, with an unknown extension, a leading _ in the name, or a README beside data: ${namesText(notice)}. Give --format to read all objects in one format`
    case 'files_among_records':
      return `note: ${counted(notice.count, 'text or Markdown object')} in a corpus that also has objects of records; each one becomes a document: ${namesText(notice)}. If they are not documents, give a glob such as '**/*.parquet' as the source`
    case 'csv_dialect':
      return `csv  ${notice.key}: ${describeCsvDialect(notice.table)}. Give --csv to change that`
    case 'consumer_warning':
      return `warning: ${notice.message}`
    case 'table':
      return tableText(notice.table)
    case 'sample_rejects':
      return `note: ${notice.rejected} of ${counted(notice.records, 'sampled record')} would be rejected: ${notice.message}`
    case 'column_fit':
      return `note: ${columnFitText(notice.fit)}`
    case 'repeated_decompression':
      return (
        `note: ${notice.key} is one ${notice.compression} stream: each of its ${notice.slices} slices decompresses it from the start, which reads it ${Math.round(notice.factor)} times. ` +
        'Write it with bgzip, or as zstd with several frames: then each slice starts near its first byte'
      )
    case 'rate_not_measured':
      return `note: the endpoint's rate was not measured: ${messageOf(notice.error)}`
    case 'answers_limited':
      return `note: ${count(notice.used)} of ${count(notice.total)} judged documents are compared`
    case 'answers_unreadable':
      return `note: queries are evaluated on the sample alone, because the judged documents cannot be read: ${messageOf(notice.error)}`
  }
}

/** How to embed texts that are longer than the model reads. */
export const remedyOf = (texts: TextEstimate | undefined): string =>
  `Embed them in chunks with --chunk-tokens ${texts?.limit ?? 256}, or use a model that reads longer texts`

/** What the model's card puts before documents, and what to do. */
export function describePromptMismatch({ model, prompt, document, query, card }: PromptMismatch): string {
  const [given, documents, queries] = [prompt, document, query].map(text => JSON.stringify(text))
  return document === ''
    ? `${given} is what the card of ${model} puts before queries; it puts nothing before documents: leave out --prompt (${card})`
    : `the card of ${model} puts ${documents} before each document and ${queries} before each query, ` +
        `and ${prompt === '' ? 'nothing is put' : `${given} is put`} before the documents: give --prompt ${documents} (${card})`
}
