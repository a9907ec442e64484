// Which target of a vector store holds a run, by the records of the output. All records are those
// of one name at one address, newest first.

import { isRunId, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type LoadRecord, type LoadTarget, readLoadRecords } from './load-record.ts'

/** The name that searches use unless the caller gives another. */
export const DEFAULT_TARGET_NAME = 'embeddings'

/** @throws ReembedError USAGE for a name that some vector store would refuse or change */
export function requireTargetName(name: string): string {
  if (/^[a-z][a-z0-9_]{0,39}$/.test(name)) return name
  throw new ReembedError(
    'USAGE',
    `'${name}' cannot name a table, index or collection in every vector store: use 1 to 40 characters of a-z, 0-9 and _, beginning with a letter`,
    { option: 'name' },
  )
}

/** The records of a name in a vector store, newest first. */
export async function readLoadRecordsOf(
  source: Store,
  { address }: Pick<LoadTarget, 'address'>,
  name: string,
): Promise<readonly LoadRecord[]> {
  requireTargetName(name)
  const records = await Array.fromAsync(readLoadRecords(source))
  return records.filter(record => record.address === address && record.name === name)
}

/**
 * The tables, collections or indexes that a run may be loaded into, in the order of preference. The
 * second one is for a run whose first one was updated in place to another run. Run ids have no 9.
 * @throws ReembedError USAGE for a run that is no id: in some vector stores `*` names every index
 */
export function targetsOf(name: string, run: string): readonly [string, string] {
  if (isRunId(run)) return [`${name}_${run.slice(0, 12)}`, `${name}_${run.slice(0, 11)}9`]
  throw new ReembedError('USAGE', `'${run}' is not the id of a run: give a whole id`)
}

/** The newest record of what a target holds. */
export const contentOfTarget = (records: readonly LoadRecord[], target: string): LoadRecord | undefined =>
  records.find(record => record.target === target && record.action !== 'switch')

/** Whether a target holds another run, or was left by an interrupted update. */
const isTaken = (records: readonly LoadRecord[], target: string, run: string): boolean => {
  const content = contentOfTarget(records, target)
  return content?.action === 'update' || (content?.action === 'load' && content.run !== run)
}

/** The target of a whole load. */
export function wholeTarget(records: readonly LoadRecord[], name: string, run: string): string {
  const [first, second] = targetsOf(name, run)
  return isTaken(records, first, run) ? second : first
}

/** Every target that may hold rows of a run and is not recorded to hold another run. */
export function targetsToDrop(records: readonly LoadRecord[], name: string, run: string): string[] {
  const recorded = records.filter(
    record => record.run === run && contentOfTarget(records, record.target) === record,
  )
  const targets = new Set([...recorded.map(({ target }) => target), ...targetsOf(name, run)])
  return [...targets].filter(target => {
    const content = contentOfTarget(records, target)
    return content?.action !== 'load' || content.run === run
  })
}

/**
 * The targets that searches do not use any more, each by its newest record: loaded or used before
 * searches were last switched. The one that was used or loaded last is the first.
 * @param needed targets that are never old, such as the one that searches use
 */
export function oldTargets(records: readonly LoadRecord[], needed: ReadonlySet<string>): LoadRecord[] {
  const oldestFirst = records.toReversed()
  const newest = new Map(oldestFirst.map(record => [record.target, record]))
  // A switch ends the use of the target before.
  const usedAt = new Map(
    oldestFirst.flatMap(({ target, from = target, number }) => [
      [target, number],
      [from, number],
    ]),
  )
  const switched = records.find(({ action }) => action === 'switch')?.number ?? 0
  const at = ({ target }: LoadRecord): number => usedAt.get(target) ?? 0
  return [...newest.values()]
    .filter(({ target, action, number }) => !needed.has(target) && action !== 'drop' && number < switched)
    .sort((one, other) => at(other) - at(one))
}

/** The newest load of a target, unless it was dropped or an update was interrupted since. */
export function loadOfTarget(records: readonly LoadRecord[], target: string): LoadRecord | undefined {
  const content = contentOfTarget(records, target)
  return content?.action === 'load' ? content : undefined
}

/** The newest load of a run whose target still holds it. */
export const loadOfRun = (records: readonly LoadRecord[], run: string): LoadRecord | undefined =>
  records.find(
    record =>
      record.action === 'load' && record.run === run && loadOfTarget(records, record.target) === record,
  )
