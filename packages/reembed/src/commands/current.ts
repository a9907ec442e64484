import { findRun } from '@reembed/planner'
import { readCurrent, readManifest } from '@reembed/protocol'
import { count, modelText } from '@reembed/render'
import { ReembedError, shardPrefix } from '@reembed/shared'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { facts, print } from '../output.ts'

/** `reembed current`: the published version, as readers need it. */
export async function current(flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, undefined, 'current')
  const [version, manifest] = await Promise.all([readCurrent(store), readManifest(store, run)])
  if (!version || !manifest)
    throw new ReembedError(
      'CORRUPT',
      `version ${version?.version} in ${store.url} names run ${run}, which has no manifest`,
    )
  const { model, totals } = manifest
  const data = `${store.url.replace(/\/$/, '')}/${shardPrefix(run)}`
  print(
    flags.json,
    { ...version, data, model, prompt: manifest.prompt, totals },
    facts([
      ['version', String(version.version)],
      ['run', run],
      ['model', modelText({ model })],
      ['vectors', `${count(totals.rows)} of ${model.dimensions} dimensions`],
      ['data', data],
    ]),
  )
}
