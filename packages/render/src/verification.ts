// A verified run.

import type { Verification } from '@reembed/evaluate'
import { modelText } from './model.ts'
import { bytes, count } from './numbers.ts'
import type { Row } from './rows.ts'
import { alteredRows, documentsText, reuseRow, unreadRow } from './totals.ts'

/** What `verify` recomputed from the shards of a run. */
export function describeVerification(receipt: Verification): Row[] {
  const { run, totals, model, shards, shardsRead, norms, repeatedVectors, collapsedDimensions } = receipt
  const isPart = shardsRead !== undefined
  return [
    ['run', isPart ? `${run}  part verified; the run is when each of its parts is` : `${run}  verified`],
    [
      'documents',
      `${documentsText(totals)}; ids ${isPart ? 'of this part ' : ''}unique; no byte of the corpus skipped or read twice`,
    ],
    ...unreadRow(totals),
    ...alteredRows(totals),
    ...reuseRow(receipt),
    [
      'vectors',
      `${model.dimensions} dimensions, finite, ${norms ? `length ${norms.min.toFixed(5)} to ${norms.max.toFixed(5)}` : 'none'}${repeatedVectors > 0 ? `, ${count(repeatedVectors)} repeated for different texts` : ''}; hashes match`,
    ],
    ...collapsedRow(collapsedDimensions, model.dimensions),
    ['model', `${modelText(receipt)}, in every shard`],
    [
      'shards',
      `${count(shards)}, ${bytes(totals.bytes)}${isPart ? `; ${count(shardsRead)} read whole` : ''}`,
    ],
  ]
}

const SHOWN = 5

function collapsedRow(collapsed: readonly number[], dimensions: number): Row[] {
  if (collapsed.length === 0) return []
  const more = collapsed.length > SHOWN ? ` and ${count(collapsed.length - SHOWN)} more` : ''
  const which = `${collapsed.slice(0, SHOWN).join(', ')}${more}`
  return [
    [
      'note',
      `${count(collapsed.length)} of ${count(dimensions)} dimensions have the same value for all texts (${which}). Some models have such dimensions, all-MiniLM-L6-v2 has three. If this model has none, its export is damaged: fix the endpoint and embed again`,
    ],
  ]
}
