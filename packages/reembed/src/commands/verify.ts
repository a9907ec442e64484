import { verify as verifyRun } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { count, counted, describeVerification } from '@reembed/render'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { facts, print } from '../output.ts'
import { steps } from '../step-line.ts'

/** `reembed verify`: exit code 0 only if the shards hold exactly what the plan requires. */
export async function verify(
  name: string | undefined,
  flags: OutputFlags & JsonFlag & { readonly part?: string },
): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, name === undefined ? 'current' : 'newest')
  const receipt = await verifyRun(store, run, {
    part: flags.part,
    onProgress: (done, of) => steps.show(`verifying, ${count(done)} of ${counted(of, 'shard')}`),
  })
  print(flags.json, receipt, facts(describeVerification(receipt)))
}
