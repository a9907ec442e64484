// What a store's passing faults look like to a metric. Published where they are met, since the calls that meet them
// lie deep below anybody who counts; without a listener it costs a comparison.

import { channel } from 'node:diagnostics_channel'

export const TRANSIENT_STORE_ERRORS = ['throttled', 'server_error', 'unreachable'] as const
export type TransientStoreError = (typeof TRANSIENT_STORE_ERRORS)[number]

const faults = channel('reembed:store.transient_error')

/** A call failed in a way that passes, with this HTTP status, and may be tried again. */
export function publishTransientStoreError(status: number | undefined): void {
  if (!faults.hasSubscribers) return
  const throttled = status === 503 || status === 429
  faults.publish(throttled ? 'throttled' : status === undefined ? 'unreachable' : 'server_error')
}

/** Calls `listener` with each passing fault of any store in this process, until disposed. */
export function onTransientStoreError(listener: (fault: TransientStoreError) => void): Disposable {
  const receive = (fault: unknown): void => listener(fault as TransientStoreError)
  faults.subscribe(receive)
  return { [Symbol.dispose]: () => void faults.unsubscribe(receive) }
}
