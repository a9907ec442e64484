// Metric labels for transient store errors. A diagnostics channel publishes each error, because the
// failing calls have no access to a metrics registry. Without a listener the cost is one
// comparison.

import { channel } from 'node:diagnostics_channel'

/** The kinds of store errors that another attempt can resolve; labels of a metric. */
export const TRANSIENT_STORE_ERRORS = ['throttled', 'server_error', 'unreachable'] as const
export type TransientStoreError = (typeof TRANSIENT_STORE_ERRORS)[number]

const transientErrors = channel('reembed:store.transient_error')

/** Publishes a transient error of a call; `status` is undefined if there was no reply. */
export function publishTransientStoreError(status: number | undefined): void {
  if (!transientErrors.hasSubscribers) return
  const throttled = status === 503 || status === 429
  transientErrors.publish(throttled ? 'throttled' : status === undefined ? 'unreachable' : 'server_error')
}

/** Calls `listener` for each transient error of any store in this process, until disposed. */
export function onTransientStoreError(listener: (error: TransientStoreError) => void): Disposable {
  const receive = (error: unknown): void => listener(error as TransientStoreError)
  transientErrors.subscribe(receive)
  return { [Symbol.dispose]: () => void transientErrors.unsubscribe(receive) }
}
