// Ctrl-C or SIGTERM once asks to stop in order, twice stops at once.

import { EXIT } from '@reembed/shared'
import { note } from './format.ts'

/**
 * A signal that fires on the first SIGINT or SIGTERM. `stop` gives the process its default
 * behaviour back.
 */
export function onInterrupt(): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController()
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted)
    note('\nstopping: handing jobs back (once more to quit at once)')
    controller.abort(new Error('interrupted'))
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
