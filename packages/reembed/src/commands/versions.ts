import { readManifest, readVersions } from '@reembed/protocol'
import { when } from '../describe-run.ts'
import { print, printable } from '../format.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

/** `reembed versions`: every published version, newest first: run, model, when, by whom and why. */
export async function versions(flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const found = []
  const models = new Map<string, string | null>()
  for await (const {
    version,
    run,
    seq,
    action,
    at,
    publishedMs,
    by,
    reason,
    overriddenReasons,
    unjudgedGates,
  } of readVersions(store)) {
    const atMs = at === undefined ? publishedMs : Date.parse(at)
    if (!models.has(run)) models.set(run, await modelOfRun(run))
    found.push({
      version,
      run,
      seq,
      model: models.get(run) ?? null,
      at: atMs === undefined ? null : new Date(atMs).toISOString(),
      action: action ?? (overriddenReasons ? 'force' : 'publish'),
      by: by ?? null,
      reason: reason ?? null,
      despite: overriddenReasons ?? [],
      unjudgedGates: unjudgedGates ?? [],
    })
  }
  const text = found.flatMap(({ version, run, model, at, action, by, reason, despite, unjudgedGates }, i) => [
    `version ${version}${i === 0 ? ' (current)' : ''}  ${run}  ${at === null ? 'at an unknown time' : when(Date.parse(at))}  ${action} by ${by ?? 'an unknown actor'}`,
    `  model    ${model ?? 'deleted'}`,
    ...(reason === null ? [] : [`  reason   ${reason}`]),
    ...despite.map(each => `  despite  ${each}`),
    ...unjudgedGates.map(each => `  not judged  ${each}`),
  ])
  print(
    flags.json,
    found,
    text.length > 0 ? text.map(printable).join('\n') : `nothing is published in ${store.url} yet`,
  )

  /** Null if gc deleted the run. */
  async function modelOfRun(run: string): Promise<string | null> {
    const manifest = await readManifest(store, run)
    return manifest ? `${manifest.model.id}@${manifest.model.revision ?? 'unstated'}` : null
  }
}
