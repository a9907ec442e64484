// Reads what the page of a run shows beyond its status.

import { getGateReport } from '@reembed/protocol'
import { gatesKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { RunDetails } from './data/run-detail.ts'
import type { History } from './data/samples.ts'
import { cellsOf, openShardStates, type ShardCells } from './data/shard-cells.ts'
import type { WatchedRun } from './data/watch-outputs.ts'
import type { RunView } from './page/run-view.ts'

/** What is known without a request. */
export const knownView = (store: Store, watched: WatchedRun, history: History): RunView => ({
  ...watched,
  output: store.url,
  isReading: false,
  cells: undefined,
  history,
  rates: [],
  recorded: [],
  gates: watched.facts.gates,
  rejectSamples: undefined,
  shard: undefined,
})

/**
 * What is read, or undefined if it takes too long for the reader of a page.
 * @param name of the reading, among those of the run
 */
export type Within = <T>(name: string, read: () => Promise<T>) => Promise<T | undefined>

/**
 * Adds what the store holds about the run.
 * @param within how long each reading may take; a report waits for all
 */
export async function readRunView(
  store: Store,
  known: RunView,
  {
    details,
    withRejects,
    within,
  }: { readonly details: RunDetails; readonly withRejects: boolean; readonly within: Within },
): Promise<RunView> {
  const { facts, status, active, failed } = known
  const { manifest } = facts
  const open = (): ShardCells => {
    const failures = failed.map(({ shard }) => shard)
    return cellsOf(openShardStates(facts, active, failures))
  }
  const reasons = Object.keys(manifest?.rejectReasons ?? {})
  const [cells, rates, recorded, gates, rejects] = await Promise.all([
    manifest ? within('cells', () => details.cells(store, manifest)) : open(),
    manifest ? within('rates', () => details.rates(store, manifest)) : [],
    within('records', () => details.recorded(store, facts)),
    gatesOf(store, known, details),
    withRejects ? within('rejects', () => details.rejectSamples(store, status.run, reasons)) : [],
  ])
  return {
    ...known,
    isReading: [cells, rates, recorded, rejects].includes(undefined),
    cells,
    rates: rates ?? [],
    recorded: recorded ?? [],
    gates,
    rejectSamples: withRejects ? rejects : undefined,
  }
}

/** A published run was judged against the version before its own. */
async function gatesOf(store: Store, { facts }: RunView, details: RunDetails): Promise<RunView['gates']> {
  const { manifest, plan, gates, current, run } = facts
  if (gates !== undefined || !manifest || !plan?.gates?.length) return gates
  const versions = await details.versions(store, current?.version)
  const first = versions.findLast(version => version.run === run)
  const before = versions.find(({ version }) => version === (first?.version ?? 0) - 1)
  return getGateReport(store, gatesKey(run, before?.run))
}
