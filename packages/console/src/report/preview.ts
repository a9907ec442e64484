// The report of a preview: a sample of a new model beside the current version.

import type { ModelPreview } from '@reembed/planner'
import { describeModelPreview, modelText } from '@reembed/render'
import { neighbourChanges } from '../page/compare-figures.ts'
import { html } from '../page/html.ts'
import { facts, shortId } from '../page/parts.ts'
import { reportDocument } from './html.ts'
import { blocks, plain, table } from './markdown.ts'
import type { Report } from './report.ts'

/**
 * Reports a preview: scores of judged queries, changed neighbours, health, and the quote of the
 * run.
 */
export function reportPreview(shown: ModelPreview): Report {
  const { current, planned, compared } = shown
  const title = `Preview of ${modelText(planned.head.recipe)}`
  const rows = describeModelPreview(shown)
  const against = `Compared with run ${shortId(current.run)}, ${modelText(current)}, on a sample; nothing was written.`
  const sections = [
    { id: 'head', body: html`<h1>${title}</h1><p>${against}</p>` },
    { id: 'figures', body: facts(rows) },
    { id: 'neighbours', body: neighbourChanges({ comparison: compared }) },
  ]
  return {
    html: reportDocument({ title, sections }),
    markdown: blocks(
      `## ${plain(title)}`,
      plain(against),
      table(
        ['figure', 'value'],
        rows.map(([name, value]) => [plain(name), plain(value)]),
      ),
    ),
  }
}
