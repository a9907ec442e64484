import { verify as verifyRun } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { documentsText, unreadRow } from '../describe-totals.ts'
import { bytes, count, facts, nulledRow, print, reuseRow } from '../format.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

/** `reembed verify`: exit code 0 only if the shards hold exactly what the plan requires. */
export async function verify(name: string | undefined, flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, name === undefined ? 'current' : 'newest')
  const receipt = await verifyRun(store, run)
  const { totals, model, shards, norms, repeatedVectors, collapsedDimensions } = receipt
  print(
    flags.json,
    receipt,
    facts([
      ['run', `${run}  verified`],
      ['documents', `${documentsText(totals)}; ids unique; no byte of the corpus skipped or read twice`],
      ...unreadRow(totals),
      ...nulledRow(totals),
      ...reuseRow(receipt),
      [
        'vectors',
        `${model.dimensions} dimensions, finite, ${norms ? `length ${norms.min.toFixed(5)} to ${norms.max.toFixed(5)}` : 'none'}${repeatedVectors > 0 ? `, ${count(repeatedVectors)} repeated for different texts` : ''}; hashes match`,
      ],
      ...collapsedRow(collapsedDimensions, model.dimensions),
      ['model', `${model.id}@${model.revision ?? 'unstated'}, in every shard`],
      ['shards', `${count(shards)}, ${bytes(totals.bytes)}`],
    ]),
  )
}

const SHOWN = 5

function collapsedRow(collapsed: readonly number[], dimensions: number): [string, string][] {
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
