import { type Comparison, compareRuns, type Health, type RowComparison } from '@reembed/evaluate'
import { findRun } from '@reembed/planner'
import type { Manifest } from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { count, facts, print } from '../format.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

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
      `the vectors of ${modelOf(before)} and ${modelOf(after)} are not comparable: different models. Omit --vectors to compare the neighbours within each run`,
    )
  }
  const comparison = await compareRuns(store, before, after, flags)
  print(
    flags.json,
    { a: before.run, b: after.run, sameSpace: before.spaceId === after.spaceId, ...comparison },
    facts(describe(before, after, comparison)),
  )
}

async function manifestOf(store: Store, name: string): Promise<Manifest> {
  const run = await (name === 'current'
    ? findRun(store, undefined, 'current')
    : findRun(store, name, 'newest'))
  return requireManifest(store, run)
}

export const modelOf = ({ model }: Pick<Manifest, 'model'>): string =>
  `${model.id}@${model.revision ?? 'unstated'}`

function describe(before: Manifest, after: Manifest, comparison: Comparison): [string, string][] {
  const { common, added, removed, health } = comparison
  return [
    ['a', `${before.run}  ${modelOf(before)}  ${healthText(health[0])}`],
    ['b', `${after.run}  ${modelOf(after)}  ${healthText(health[1])}`],
    ['documents', `${count(common)} in both, ${count(added)} only in b, ${count(removed)} only in a`],
    ...describeCompared(comparison),
  ]
}

export function describeCompared(compared: RowComparison): [string, string][] {
  const { overlap, top, queries, documents, leastOverlap, cosine } = compared
  return [
    [
      'neighbours',
      `${(100 * overlap).toFixed(1)} % of the ${top} nearest documents are the same, for ${count(queries)} of ${count(documents)} documents`,
    ],
    [
      'changed most',
      leastOverlap
        .map(one => `${one.id} (keeps ${Math.round(one.overlap * top)} of ${top} neighbours)`)
        .join(', '),
    ],
    [
      'cosines',
      cosine
        ? `mean ${cosine.mean.toFixed(5)}, minimum ${cosine.min.toFixed(5)}`
        : 'not compared: different models',
    ],
  ]
}

export function healthText({ rows, norms, collapsedDimensions, repeatedVectors }: Health): string {
  const norm = `norm ${norms.mean.toFixed(3)} (${norms.min.toFixed(3)} to ${norms.max.toFixed(3)})`
  return `${count(rows)} rows, ${norm}, ${collapsedDimensions} collapsed dimensions, ${count(repeatedVectors)} repeated vectors`
}
