import { listVersions } from '@reembed/producer'
import { when } from '../describe-run.ts'
import { print, printable } from '../format.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

/** `reembed versions`: every published version, newest first: run, model, when, by whom and why. */
export async function versions(flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const found = await listVersions(store)
  const text = found.flatMap(({ version, run, model, at, action, by, reason, despite, unjudgedGates }, i) => [
    `version ${version}${i === 0 ? ' (current)' : ''}  ${run}  ${at === null ? 'at an unknown time' : when(Date.parse(at))}  ${action} by ${by ?? 'an unknown actor'}`,
    `  model    ${model ?? 'deleted'}`,
    ...(reason === null ? [] : [`  reason   ${reason}`]),
    ...despite.map(each => `  despite  ${each}`),
    ...unjudgedGates.map(each => `  not judged  ${each}`),
  ])
  const none = `nothing is published in ${store.url} yet`
  print(flags.json, found, text.length > 0 ? text.map(printable).join('\n') : none)
}
