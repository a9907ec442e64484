// What a planner put on the queue.

import { counted } from './numbers.ts'
import type { Row } from './rows.ts'

/** The jobs that a run got on the queue. */
export function queuedRows({
  enqueued,
  shardsDone,
  shards,
  finished,
}: {
  readonly enqueued: number
  readonly shardsDone: number
  readonly shards: number
  readonly finished: boolean
}): Row[] {
  if (finished) return [['queued', 'no jobs: this run is finished']]
  const jobs =
    enqueued === 0 && shardsDone < shards
      ? 'no jobs added: they are queued already, or another process carries shards over'
      : counted(enqueued, 'job')
  const exist =
    shardsDone > 0 ? `; ${counted(shardsDone, 'shard')} already ${shardsDone === 1 ? 'exists' : 'exist'}` : ''
  return [['queued', `${jobs}${exist}`]]
}
