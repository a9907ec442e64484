// Reads what the page of a run shows beyond its status.

import { getGateReport } from '@reembed/protocol'
import { gatesKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { RunDetails } from './data/run-detail.ts'
import type { History } from './data/samples.ts'
import { cellsOf, openShardStates } from './data/shard-cells.ts'
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

/** A reading, or undefined if it takes too long for the reader of a page. */
export type Within = <T>(reading: Promise<T>) => Promise<T | undefined>

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
  const open = (): Uint8Array =>
    openShardStates(
      facts,
      active,
      failed.map(({ shard }) => shard),
    )
  const reasons = Object.keys(manifest?.rejectReasons ?? {})
  const [states, rates, recorded, gates, rejects] = await Promise.all([
    manifest ? within(details.shardStates(store, manifest)) : open(),
    manifest ? within(details.rates(store, manifest)) : [],
    within(details.recorded(store, facts)),
    gatesOf(store, known, details),
    withRejects ? within(details.rejectSamples(store, status.run, reasons)) : [],
  ])
  return {
    ...known,
    isReading: [states, rates, recorded, rejects].includes(undefined),
    cells: states && cellsOf(states),
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
