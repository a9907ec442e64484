// The first SIGINT or SIGTERM stops the command in order, the second exits at once.

import { EXIT } from '@reembed/shared'
import { noteLines } from './output.ts'

/**
 * A signal that fires on the first SIGINT or SIGTERM. `stop` restores the default behaviour of the
 * process.
 */
export function onInterrupt(): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController()
  const handle = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted)
    noteLines('\nstopping: finishing or requeueing jobs; interrupt again to exit at once')
    controller.abort(new Error(`received ${name}`))
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
  return {
    signal: controller.signal,
    stop() {
      process.off('SIGINT', handle)
      process.off('SIGTERM', handle)
    },
  }
}
