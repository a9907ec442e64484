import { measureRecall } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { recallLines } from '@reembed/render'
import { requireManifest } from '@reembed/shard'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { print } from '../output.ts'
import { steps } from '../step-line.ts'

interface Flags extends OutputFlags, JsonFlag {
  readonly top: number
  readonly queries: number
  readonly documents: number
}

/**
 * `reembed recall`: measures how many of the nearest documents are found with vectors of fewer
 * bits.
 */
export async function recall(name: string | undefined, flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const manifest = await requireManifest(store, await findRun(store, name, 'current'))
  const { top, queries, documents } = flags
  steps.show('comparing the nearest documents of each type of vectors')
  const measured = await measureRecall(store, manifest, { top, queries, documents })
  print(
    flags.json,
    { run: manifest.run, ...measured },
    recallLines(measured, manifest.model.dimensions).join('\n'),
  )
}
