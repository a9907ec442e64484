import { listVersions } from '@reembed/producer'
import { versionLines } from '@reembed/render'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { print } from '../output.ts'

/** `reembed versions`: every published version, newest first: run, model, when, by whom and why. */
export async function versions(flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const found = await listVersions(store)
  const none = `nothing is published in ${store.url} yet`
  print(flags.json, found, found.length > 0 ? versionLines(found).join('\n') : none)
}
