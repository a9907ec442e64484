// The commands that the pages of the console offer to copy.

import type { Step } from '@reembed/console'
import { shellWord } from '@reembed/shared'
import { shortId } from './output.ts'

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
): string => `reembed ${WORDS[step](shortId(run))} --output ${shellWord(output)}`
