import { compareRuns } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import type { Manifest } from '@reembed/protocol'
import { count, counted, describeComparison, modelText } from '@reembed/render'
import { requireManifest } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { facts, print } from '../output.ts'
import { steps } from '../step-line.ts'

interface Flags extends OutputFlags, JsonFlag {
  readonly top: number
  readonly queries: number
  readonly documents: number
  readonly vectors?: boolean
}

/**
 * `reembed diff <a> <b>`: compares neighbours within each run's own space, and cosines only where
 * both runs have the same space.
 */
export async function diff(a: string, b: string, flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const [before, after] = [await manifestOf(store, a), await manifestOf(store, b)]
  if (flags.vectors && before.spaceId !== after.spaceId) {
    throw new ReembedError(
      'MODEL_MISMATCH',
      `the vectors of ${modelText(before)} and ${modelText(after)} are not comparable: different models. Omit --vectors to compare the neighbours within each run`,
    )
  }
  const comparison = await compareRuns(store, before, after, {
    ...flags,
    onProgress: (done, of) => steps.show(`reading the runs, ${count(done)} of ${counted(of, 'shard')}`),
  })
  print(
    flags.json,
    { a: before.run, b: after.run, sameSpace: before.spaceId === after.spaceId, ...comparison },
    facts([
      ...describeComparison(before, after, comparison),
      [
        'report',
        `\`reembed report ${a} ${b} --output ${flags.output}\` adds queries and score thresholds, as one file`,
      ],
    ]),
  )
}

async function manifestOf(store: Store, name: string): Promise<Manifest> {
  const run = await (name === 'current'
    ? findRun(store, undefined, 'current')
    : findRun(store, name, 'newest'))
  return requireManifest(store, run)
}
