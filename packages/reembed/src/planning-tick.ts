// A planning tick with the flags of `reembed producer` and `reembed schedule tick`.

import { planAndEnqueue, type ScheduleTrigger } from '@reembed/producer'
import type { TickOutcome } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import type { Store } from '@reembed/store'
import { notePlan } from './notices.ts'
import { openSource, requireEndpoint, requireRedis } from './open-resources.ts'
import type { CorpusFlags, OutputFlags, RedisFlags } from './options.ts'
import { planOptionsOf } from './requests.ts'
import { steps } from './step-line.ts'

export type ProducerFlags = CorpusFlags & OutputFlags & RedisFlags

/**
 * Resolves the endpoint again for each tick: its address and revision may have changed, and it may
 * be asleep.
 */
export async function planTick(
  trigger: ScheduleTrigger,
  flags: ProducerFlags,
  store: Store,
  queue: Queue,
): Promise<TickOutcome> {
  // The producer continues, and shows no step of a plan that is made.
  using _ = { [Symbol.dispose]: steps.end }
  await using corpus = await openSource(flags)
  return await planAndEnqueue(trigger, {
    corpus,
    endpoint: onState => requireEndpoint(flags, onState),
    options: planOptionsOf(flags),
    store,
    queue,
    redis: requireRedis(flags),
    awaitEndpoint: flags.awaitEndpoint,
    onNotice: notePlan,
  })
}
