// Notices of planning and previews, as lines for people on stderr.

import type { PreviewNotice } from '@reembed/producer'
import { messageOf } from '@reembed/shared'
import { count, counted, note } from './format.ts'

/** Prints a notice. */
export const notePlan = (notice: PreviewNotice): void => note(textOf(notice))

function textOf(notice: PreviewNotice): string {
  switch (notice.kind) {
    case 'endpoint_state':
      return `endpoint  ${notice.state}`
    case 'revision_unstated':
      return `note: ${notice.url} does not state its model's revision; its reference vectors stand in for it (or give --revision)`
    case 'server_prompt':
      return `note: ${notice.url} puts ${JSON.stringify(notice.prompt)} in front of every text by itself`
    case 'objects_skipped':
      return `note: ${counted(notice.count, 'object')} left out, unknown by extension or named with a leading _: ${namesOf(notice)}; --format reads all as one format`
    case 'files_among_records':
      return (
        `note: ${counted(notice.count, 'text or Markdown object')} beside objects of records, each a document as well: ${namesOf(notice)}; ` +
        "if they are not documents, name a glob such as '**/*.parquet' as the source"
      )
    case 'repeated_decompression':
      return (
        `note: ${notice.key} is one ${notice.compression} stream: each of its ${notice.slices} slices decompresses it from the start, ${Math.round(notice.factor)} times in all; ` +
        'written by bgzip, or as zstd in several frames, a slice starts near its place'
      )
    case 'rate_not_measured':
      return `note: no rate was measured: ${messageOf(notice.error)}`
    case 'answers_limited':
      return `note: ${count(notice.used)} of ${count(notice.total)} documents that answer queries are compared`
    case 'answers_unreadable':
      return `note: queries are evaluated on the sample alone, their answers cannot be read: ${messageOf(notice.error)}`
  }
}

const namesOf = ({
  count: all,
  examples,
}: {
  readonly count: number
  readonly examples: readonly string[]
}): string => `${examples.join(', ')}${all > examples.length ? ', …' : ''}`
