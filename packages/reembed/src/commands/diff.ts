import { writeFile } from 'node:fs/promises'
import { type Changes, compareRuns, findChanges } from '@reembed/evaluate'
import { findVersion } from '@reembed/planner'
import type { Manifest } from '@reembed/protocol'
import { count, counted, describeComparison, modelText } from '@reembed/render'
import { requireManifest } from '@reembed/shard'
import { ReembedError, shellWord } from '@reembed/shared'
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
  readonly changes?: string
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
  const onRead = (done: number, of: number): void =>
    steps.show(`reading the runs, ${count(done)} of ${counted(of, 'shard')}`)
  if (flags.changes !== undefined) {
    const changes = await findChanges(store, before, after, { onProgress: onRead })
    await writeFile(flags.changes, linesOf(changes), { flag: 'wx' })
    const { added, changed, removed } = changes
    print(
      flags.json,
      { a: before.run, b: after.run, added, changed, removed, file: flags.changes },
      facts([
        ['changes', `${count(added)} added, ${count(changed)} changed, ${count(removed)} removed`],
        ['file', flags.changes],
      ]),
    )
    return
  }
  const comparison = await compareRuns(store, before, after, {
    ...flags,
    onProgress: onRead,
  })
  print(
    flags.json,
    { a: before.run, b: after.run, sameSpace: before.spaceId === after.spaceId, ...comparison },
    facts([
      ...describeComparison(before, after, comparison),
      [
        'report',
        `\`reembed report ${a} ${b} --output ${shellWord(flags.output)}\` adds queries and score thresholds, as one file`,
      ],
    ]),
  )
}

/** A line for each row that differs: 'added', 'changed' or 'removed', a tab, the id as JSON. */
async function* linesOf(changes: Changes): AsyncGenerator<string, void, undefined> {
  for await (const { change, id } of changes.rows()) yield `${change}\t${JSON.stringify(id)}\n`
}

export const manifestOf = async (store: Store, name: string): Promise<Manifest> =>
  requireManifest(store, await findVersion(store, name))
