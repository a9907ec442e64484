// Finds a run by its id or by the first characters of its id; without either, the newest or the
// current run.

import { type Plan, readCurrent, readPlan, readSeq, readVersions, refuseDeleted } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

/**
 * Yields every plan, newest first. A rollback records a further sequence number for a run, which
 * differs from the number in its plan and is skipped.
 */
async function* newestPlans(store: Store): AsyncGenerator<Plan, void, undefined> {
  for (const { run, seq } of await readSeq(store)) {
    const plan = await readPlan(store, run)
    if (plan?.seq === seq) yield plan
  }
}

/** The plan of the newest run; undefined if no run is planned. */
export async function newestPlan(store: Store): Promise<Plan | undefined> {
  for await (const plan of newestPlans(store)) return plan
  return undefined
}

/** Ids of every planned run, newest first. */
export const plannedRuns = (store: Store): Promise<string[]> =>
  Array.fromAsync(newestPlans(store), ({ run }) => run)

/**
 * The run with this name: an id or its first letters, 'current', or the number of a version such as
 * '12'.
 * @throws ReembedError RUN_NOT_FOUND
 */
export async function findVersion(store: Store, name: string): Promise<string> {
  if (name === 'current') return findRun(store, undefined, 'current')
  // An id has 26 letters and digits, and a few digits name a version before they name a run.
  if (!/^\d{1,9}$/.test(name)) return findRun(store, name, 'newest')
  for await (const { version, run } of readVersions(store)) if (String(version) === name) return run
  throw new ReembedError(
    'RUN_NOT_FOUND',
    `${store.url} has no version ${name}: give a number of its published versions, or a run`,
  )
}

/**
 * The run with this id or with the only id that begins so; without a name, the newest or the
 * current one.
 * @throws ReembedError RUN_NOT_FOUND with the runs that exist, also when several ids begin with the
 * name.
 */
export async function findRun(
  store: Store,
  name: string | undefined,
  otherwise: 'newest' | 'current',
): Promise<string> {
  if (name === undefined && otherwise === 'current') {
    const current = await readCurrent(store)
    if (current) return current.run
    throw new ReembedError('RUN_NOT_FOUND', `nothing is published in ${store.url} yet`, {
      reason: 'nothing_published',
    })
  }
  if (name === undefined) {
    const newest = await newestPlan(store)
    if (newest) return newest.run
    throw new ReembedError(
      'RUN_NOT_FOUND',
      `${store.url} holds no run: check the output, or plan a run first`,
    )
  }
  const runs = await plannedRuns(store)
  const [found, ...others] = runs.filter(run => run.startsWith(name))
  if (found !== undefined && others.length === 0) return found
  const there =
    runs.length === 0 ? 'it has none' : `it has ${runs.slice(0, 5).join(', ')}${runs.length > 5 ? ', …' : ''}`
  if (found === undefined) {
    // A deleted run keeps its sequence number and its state records.
    const gone = (await readSeq(store)).find(({ run }) => run.startsWith(name))
    if (gone) await refuseDeleted(store, gone.run, 'RUN_NOT_FOUND')
  }
  throw new ReembedError(
    'RUN_NOT_FOUND',
    `${found ? 'several runs begin' : 'no run begins'} with '${name}' in ${store.url}: ${there}`,
  )
}
