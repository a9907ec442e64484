// What an examination of an index found, as text.

import type { FindingKind, IndexReport } from '@reembed/evaluate'
import { count, counted } from './numbers.ts'

const FAULTS: Readonly<Record<FindingKind, string>> = {
  no_vector: 'without a vector: embed these documents, or delete them',
  not_finite: 'with a vector that has NaN or an infinite value: embed these documents again',
  zero: 'with a vector of zeros: embed these documents again',
  other_dimensions: 'with another number of dimensions: they are of another model; embed them again',
  not_normalized: 'whose vector has not the length 1 of the others: normalize them, or embed them again',
  duplicate: 'with the vector of an earlier row: delete the copies, or find out why texts are equal',
  no_text: 'without a text: searches return nothing to show',
  other_model: 'with a vector of another model than most: embed them again with one model',
  not_reproduced:
    'of the sample get another vector from the endpoint: it does not serve the model of this index, or their texts changed',
}

/** The report on one line: each fault with the ids of some rows. */
export function indexReportText(report: IndexReport): string {
  const { address, rows, dimensions, normalized, comparesModels, reproduced, findings } = report
  const length = normalized ? 'length 1' : 'lengths that differ'
  const head = `${address}: ${counted(rows, 'row')}, ${dimensions} dimensions, ${length}`
  const checked = reproduced > 0 ? [`${counted(reproduced, 'text')} embedded again`] : []
  const models = comparesModels
    ? []
    : ['two models cannot be distinguished: the vectors use all directions evenly']
  const faults = findings.map(
    ({ kind, rows: found, examples }) =>
      `${counted(found, 'row')} ${FAULTS[kind]} (${examples.map(id => JSON.stringify(id)).join(', ')}${found > examples.length ? `, and ${count(found - examples.length)} more` : ''})`,
  )
  const last = findings.length === 0 ? ['no fault found'] : faults
  return [head, ...checked, ...models, ...last].join('; ')
}
