import { verify as verifyRun } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { describeVerification } from '@reembed/render'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { facts, print } from '../output.ts'

/** `reembed verify`: exit code 0 only if the shards hold exactly what the plan requires. */
export async function verify(name: string | undefined, flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, name === undefined ? 'current' : 'newest')
  const receipt = await verifyRun(store, run)
  print(flags.json, receipt, facts(describeVerification(receipt)))
}
