// The commands that the pages of the console offer to copy.

import type { Step } from '@reembed/console'

/** A value as one word of a POSIX shell. */
const word = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`

/** Letters of a run id that name it in a command. */
const SHORT_ID = 12

const WORDS: Readonly<Record<Step, (run: string) => string>> = {
  list_rejects: run => `rejects ${run}`,
  publish_anyway: run => `publish ${run} --force --reason "…"`,
  cancel: run => `cancel ${run} --reason "…"`,
  enqueue: () => 'enqueue --source … --endpoint … --redis …',
  resume: run => `resume ${run}`,
  start_worker: () => 'worker --endpoint … --redis …',
  pause: run => `pause ${run}`,
  search: run => `search "some words" --run ${run}`,
  roll_back: run => `rollback ${run}`,
}

/** The command for a step about a run; '…' is what only the reader knows. */
export const pageCommand = (
  step: Step,
  { output, run }: { readonly output: string; readonly run: string },
): string => `reembed ${WORDS[step](run.slice(0, SHORT_ID))} --output ${word(output)}`
