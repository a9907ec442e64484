// Parts of notices that several commands print.

import type { WaitNotice } from '@reembed/shared'
import { duration } from './numbers.ts'

/** The first names of a list, and a mark where it has more. */
export const namesText = ({
  count,
  examples,
}: {
  readonly count: number
  readonly examples: readonly string[]
}): string => `${examples.join(', ')}${count > examples.length ? ', …' : ''}`

/** How long a dependency has been silent, or was. */
export const waitText = ({ dependency, state, ms }: WaitNotice): string =>
  state === 'silent'
    ? `waiting for ${dependency}: no reply for ${duration(ms)}`
    : `${dependency} answers again, after ${duration(ms)}`
