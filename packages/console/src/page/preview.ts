// A preview: a sample embedded with another model, beside a run.

import type { PreviewFigures, PreviewRecord } from '@reembed/protocol'
import { count, counted, modelText } from '@reembed/render'
import { changeSentence, neighbourChanges } from './compare-figures.ts'
import { worstQueries } from './compare-queries.ts'
import { type Html, html } from './html.ts'
import { facts, type Section, shortId, time } from './parts.ts'
import { thresholdTable } from './thresholds.ts'

export const previewTitle = (preview: PreviewFigures): string => `Preview of ${modelText(preview)}`

/** 'Compared with run k2jq…, on a sample of 523 documents: …' */
export const previewSentence = ({ run, sampled }: PreviewFigures): string =>
  `A sample of ${counted(sampled, 'document')} was embedded with this model and compared with run ${shortId(run)}. Within a sample, scores are higher than over all documents.`

/** When, by which actor and why it was recorded. */
export function previewOrigin({ at, by, reason, number }: PreviewRecord): Html {
  const when = at === undefined ? 'at an unknown time' : time(Date.parse(at))
  return html`<p class="sub">Preview ${count(number)}, recorded ${when}${by !== undefined && ` by ${by}`}${reason !== undefined && `: ${reason}`}</p>`
}

const NO_QUERIES =
  'No judged queries: give the preview those that the current version was planned with, to see which queries would get worse.'
/** Figures that have a region of their own. */
const SHOWN_ABOVE: ReadonlySet<string> = new Set(['neighbours', 'changed most'])

/** What a preview shows besides its regions. */
export const otherFigures = ({ figures }: PreviewFigures): PreviewFigures['figures'] =>
  figures.filter(([name]) => !SHOWN_ABOVE.has(name))

/** The regions of a preview; the report has the same. */
export const previewSections = (preview: PreviewFigures): Section[] => [
  {
    id: 'decision',
    body: html`<p>${previewSentence(preview)}</p><p class="decision quiet">${changeSentence({ ...preview.compared, judged: preview.judged })}</p>`,
  },
  { id: 'worst', body: worstQueries(preview.judged, new Map(), NO_QUERIES) },
  { id: 'thresholds', body: thresholdTable({ ...preview, top: preview.compared.top }) },
  { id: 'neighbours', body: neighbourChanges({ comparison: preview.compared }) },
  { id: 'sample', body: html`<h2>Sample, reuse and price</h2>${facts(otherFigures(preview))}` },
]
