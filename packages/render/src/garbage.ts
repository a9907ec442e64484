// The runs that gc keeps and those that it deletes.

import type { Garbage } from '@reembed/producer'
import { printable } from '@reembed/shared'
import { bytes, counted } from './numbers.ts'

/** One line a run. @param resultOf what became of a run that may be deleted */
export const garbageLines = ({ kept, deletable }: Garbage, resultOf: (run: string) => string): string[] => [
  ...kept.map(({ run, reason }) => `${'kept'.padEnd(9)}  ${run}  ${printable(reason)}`),
  ...deletable.map(
    ({ run, reason, objects, bytes: size }) =>
      `${resultOf(run).padEnd(9)}  ${run}  ${printable(reason)}; ${counted(objects, 'object')}, ${bytes(size)}`,
  ),
]
