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
  cells: undefined,
  history,
  rates: [],
  recorded: [],
  gates: watched.facts.gates,
  rejectSamples: undefined,
  shard: undefined,
})

/** Adds what the store holds about the run. */
export async function readRunView(
  store: Store,
  known: RunView,
  { details, withRejects }: { readonly details: RunDetails; readonly withRejects: boolean },
): Promise<RunView> {
  const { facts, status, active, failed } = known
  const { manifest } = facts
  const states = manifest
    ? await details.shardStates(store, manifest)
    : openShardStates(
        facts,
        active,
        failed.map(({ shard }) => shard),
      )
  return {
    ...known,
    cells: cellsOf(states),
    rates: manifest ? await details.rates(store, manifest) : [],
    recorded: await details.recorded(store, facts),
    gates: await gatesOf(store, known, details),
    rejectSamples: withRejects
      ? await details.rejectSamples(store, status.run, Object.keys(manifest?.rejectReasons ?? {}))
      : undefined,
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
