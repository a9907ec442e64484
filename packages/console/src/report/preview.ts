// The report of a preview: a sample of a new model beside the current version.

import type { PreviewFigures } from '@reembed/protocol'
import { changeSentence } from '../page/compare-figures.ts'
import { html } from '../page/html.ts'
import { otherFigures, previewSections, previewSentence, previewTitle } from '../page/preview.ts'
import { reportDocument } from './html.ts'
import { blocks, judgedMarkdown, plain, table, thresholdMarkdown } from './markdown.ts'
import type { Report } from './report.ts'

/**
 * Reports a preview: scores of judged queries, those that got worse, score thresholds, changed
 * neighbours, health, and the quote of the run.
 */
export function reportPreview(preview: PreviewFigures): Report {
  const { compared, judged } = preview
  const title = previewTitle(preview)
  const head = { id: 'head', body: html`<h1>${title}</h1>` }
  return {
    html: reportDocument({ title, sections: [head, ...previewSections(preview)] }),
    markdown: blocks(
      `## ${plain(title)}`,
      plain(previewSentence(preview)),
      `**${plain(changeSentence({ ...compared, judged }))}**`,
      judgedMarkdown(judged),
      thresholdMarkdown({ ...preview, top: compared.top }),
      `### Sample, reuse and price\n\n${table(
        ['figure', 'value'],
        otherFigures(preview).map(([name, value]) => [plain(name), plain(value)]),
      )}`,
    ),
  }
}
