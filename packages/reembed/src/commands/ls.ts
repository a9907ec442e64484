import { plannedRuns } from '@reembed/planner'
import { readCurrent, readManifest, requirePlan } from '@reembed/protocol'
import { count, print } from '../format.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

/** `reembed ls`: the runs of an output, newest first. */
export async function ls(flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const current = await readCurrent(store)
  const runs = []
  for (const run of await plannedRuns(store)) {
    const plan = await requirePlan(store, run)
    const manifest = await readManifest(store, run)
    const state = run === current?.run ? 'current' : manifest ? 'finished' : 'running'
    const { id, revision } = plan.recipe.model
    runs.push({
      run,
      seq: plan.seq,
      state,
      model: `${id}@${revision ?? 'unstated'}`,
      shards: plan.shards,
      rows: manifest?.totals.rows ?? null,
    })
  }
  const lines = runs.map(
    ({ run, seq, state, model, shards, rows }) =>
      `${run}  ${String(seq).padStart(4)}  ${state.padEnd(8)}  ${(rows === null ? '-' : count(rows)).padStart(12)} rows  ${String(shards).padStart(6)} shards  ${model}`,
  )
  print(flags.json, runs, lines.length > 0 ? lines.join('\n') : `no runs in ${store.url}`)
}
