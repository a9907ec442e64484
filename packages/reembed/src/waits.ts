// Reports long waits for Redis, the store, the Hub or the endpoint: as notes, or in the log of a
// process that stays up.

import { waitText } from '@reembed/render'
import { type WaitNotice, withDeadlines } from '@reembed/shared'
import type { Logger } from '@reembed/telemetry'
import { note } from './output.ts'
import { steps } from './step-line.ts'

/** Calls `run` with the deadlines of `--timeout`, in seconds. */
export async function withTimeout(
  { timeout }: { readonly timeout?: number },
  run: () => unknown,
): Promise<void> {
  let isOver = false
  const onWait = (notice: WaitNotice): void => {
    // What still waits when the command has failed is of no interest.
    if (!isOver) note(waitText(notice))
  }
  try {
    await withDeadlines({ timeoutMs: timeout === undefined ? undefined : 1000 * timeout, onWait }, run)
  } finally {
    isOver = true
  }
}

/** Calls `run` and reports its waits in the log, where the line of a step would be out of place. */
export function withLoggedWaits<T>(log: Logger, run: () => T): T {
  steps.end()
  return withDeadlines({ onWait: notice => logWait(log, notice) }, run)
}

const logWait = (log: Logger, notice: WaitNotice): void =>
  log[notice.state === 'silent' ? 'warn' : 'info'](
    { dependency: notice.dependency, ms: Math.round(notice.ms) },
    waitText(notice),
  )
