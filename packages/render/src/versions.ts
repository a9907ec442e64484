// The published versions of an output.

import type { PublishedVersion } from '@reembed/producer'
import { printable } from '@reembed/shared'
import { when } from './numbers.ts'

/** The lines of all versions; the first one is current. */
export const versionLines = (versions: readonly PublishedVersion[]): string[] =>
  versions
    .flatMap(({ version, run, model, at, action, by, reason, despite, unjudgedGates }, i) => [
      `version ${version}${i === 0 ? ' (current)' : ''}  ${run}  ${at === null ? 'at an unknown time' : when(Date.parse(at))}  ${action} by ${by ?? 'an unknown actor'}`,
      `  model    ${model ?? 'deleted'}`,
      ...(reason === null ? [] : [`  reason   ${reason}`]),
      ...despite.map(each => `  despite  ${each}`),
      ...unjudgedGates.map(each => `  not judged  ${each}`),
    ])
    .map(printable)
