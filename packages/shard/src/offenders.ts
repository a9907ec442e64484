// The rows that a consumer refuses, in one error. All rows are checked before the first file is
// written, because a consumer that refuses a row in the middle of a load leaves half a table, and
// because one offender after the other is no way to clean a corpus.

import { ReembedError } from '@reembed/shared'

/** Offenders that an error lists; it counts all. */
const LISTED = 10
const ID_CHARACTERS = 80

/** Collects the rows that a consumer refuses. */
export interface Offenders {
  add(id: string, problem: string): void
  /** @throws ReembedError USAGE with the number of all offenders and the first of them */
  throwIfAny(): void
}

/** Counts the rows that a consumer refuses, and keeps the first ones for the error. */
export function createOffenders(consumer: string): Offenders {
  const listed: string[] = []
  let count = 0
  return {
    add(id, problem) {
      count += 1
      if (listed.length < LISTED) listed.push(`${JSON.stringify(id.slice(0, ID_CHARACTERS))}: ${problem}`)
    },
    throwIfAny() {
      if (count === 0) return
      const others = count > listed.length ? `\n  and ${count - listed.length} more` : ''
      throw new ReembedError(
        'USAGE',
        `${consumer} cannot store ${count} of the documents:\n  ${listed.join('\n  ')}${others}.\nChange them in the corpus, carry other columns, export to another layout, or leave them out`,
        { option: 'skipRefused' },
      )
    },
  }
}
