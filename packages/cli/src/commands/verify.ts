import { verify as verifyRun } from '@reembed/producer'
import { findRun } from '../find-run.ts'
import { bytes, count, facts, print, reuseRow } from '../format.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { openFinished } from '../parts.ts'

/** `reembed verify`: exit code 0 only if every shard holds what the plan promised and nothing else. */
export async function verify(name: string | undefined, flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openFinished(flags)
  const run = await findRun(store, name, name === undefined ? 'current' : 'newest')
  const receipt = await verifyRun(store, run)
  const { totals, model, shards, norms, repeated } = receipt
  print(
    flags.json,
    receipt,
    facts([
      ['run', `${run}  verified`],
      [
        'documents',
        `${count(totals.documents)} = ${count(totals.rows)} rows + ${count(totals.rejects)} rejects; ids unique; no byte of the corpus skipped or read twice`,
      ],
      ...reuseRow(receipt),
      [
        'vectors',
        `${model.dimensions} dimensions, finite, ${norms ? `length ${norms.min.toFixed(5)} to ${norms.max.toFixed(5)}` : 'none'}${repeated > 0 ? `, ${count(repeated)} repeated for other texts` : ''}; hashes right`,
      ],
      ['model', `${model.id}@${model.revision ?? 'unstated'}, in every shard`],
      ['shards', `${count(shards)}, ${bytes(totals.bytes)}`],
    ]),
  )
}
