// The result of a job.

import type { Receipt } from '@reembed/protocol'

/**
 * The shard is in the store: put by this worker, copied by the store from a base run, or put by a
 * concurrent writer meanwhile.
 */
export interface PutShard {
  readonly status: 'put' | 'carried' | 'already_exists'
  readonly receipt: Receipt
  /** Size of the object. */
  readonly bytes: number
}

/**
 * `already_done`: the shard was in the store when the job began. `stopped`: the run is paused,
 * cancelled, deleted, over its budget, superseded by a newer version, or its model was replaced.
 */
export type JobResult = PutShard | { readonly status: 'already_done' } | { readonly status: 'stopped' }
