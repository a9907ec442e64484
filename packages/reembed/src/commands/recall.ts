import { measureRecall } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import { requireManifest } from '@reembed/shard'
import { bytes, count, print } from '../format.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

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
  const measured = await measureRecall(store, manifest, { top, queries, documents })
  const lines = measured.recalls.map(
    ({ type, bytesPerVector, recall }) =>
      `${type.padEnd(28)}${bytes(bytesPerVector).padStart(10)}${`${(100 * recall).toFixed(1)} %`.padStart(10)}`,
  )
  print(
    flags.json,
    { run: manifest.run, ...measured },
    [
      `recall@${top} against float32 (${bytes(4 * manifest.model.dimensions)} per vector): ${count(measured.queries)} documents as queries among ${count(measured.documents)}`,
      '',
      `${'stored as'.padEnd(28)}${'per vector'.padStart(10)}${'recall'.padStart(10)}`,
      ...lines,
    ].join('\n'),
  )
}
