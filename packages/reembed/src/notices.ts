// Prints the notices of planning and previews on stderr.

import type { PreviewNotice } from '@reembed/planner'
import { messageOf } from '@reembed/shared'
import { count, counted, note } from './format.ts'

export const notePlan = (notice: PreviewNotice): void => note(textOf(notice))

function textOf(notice: PreviewNotice): string {
  switch (notice.kind) {
    case 'endpoint_state':
      return `endpoint  ${notice.state}`
    case 'revision_unstated':
      return `note: ${notice.url} does not state the revision of its model; its reference vectors identify the model instead. Specify it with --revision`
    case 'server_prompt':
      return `note: ${notice.url} adds ${JSON.stringify(notice.prompt)} before every text`
    case 'objects_skipped':
      return `note: ${counted(notice.count, 'object')} skipped, with an unknown extension or a leading _ in the name: ${namesOf(notice)}. Give --format to read all objects in one format`
    case 'files_among_records':
      return (
        `note: ${counted(notice.count, 'text or Markdown object')} in a corpus that also has objects of records; each one becomes a document: ${namesOf(notice)}. ` +
        "If they are not documents, give a glob such as '**/*.parquet' as the source"
      )
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

const namesOf = ({
  count: all,
  examples,
}: {
  readonly count: number
  readonly examples: readonly string[]
}): string => `${examples.join(', ')}${all > examples.length ? ', …' : ''}`
