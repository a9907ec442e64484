// What a person may do about a run from its page. Each action calls the function that the command
// of the same purpose calls, so that both refuse the same things.

import {
  forcePublish,
  planRetry,
  type RunStatus,
  resumeRun,
  rollback,
  stopRun,
  submitRun,
} from '@reembed/producer'
import { type Actor, requirePlan } from '@reembed/protocol'
import type { Queue } from '@reembed/queue'
import { counted, outcomeSentence } from '@reembed/render'
import { requireManifest } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'

export const ACTIONS = [
  'publish_anyway',
  'reject',
  'roll_back',
  'pause',
  'resume',
  'cancel',
  'retry_rejects',
] as const
export type Action = (typeof ACTIONS)[number]

/** The actions that are refused without a reason: they decide what searches find. */
export const NEEDS_REASON: ReadonlySet<Action> = new Set(['publish_anyway', 'reject', 'roll_back'])

/** The actions that make sense in the state of a run. */
export function actionsOf({ state, reason, totals }: RunStatus): readonly Action[] {
  const retry: Action[] = (totals?.rejects ?? 0) > 0 ? ['retry_rejects'] : []
  switch (state) {
    case 'held':
      return ['publish_anyway', 'reject', ...(reason === 'rejects' ? retry : [])]
    case 'superseded':
      return totals === undefined ? ['cancel'] : ['publish_anyway']
    case 'paused':
      return ['resume', 'cancel']
    case 'cancelled':
    case 'failed':
      return ['resume']
    case 'queued':
    case 'running':
    case 'waiting':
      return ['pause', 'cancel']
    case 'abandoned':
      return ['cancel']
    case 'published':
      return retry
    case 'replaced':
      return ['roll_back']
    default:
      return []
  }
}

export interface ActionTarget {
  readonly store: Store
  readonly run: string
  /** Recorded with the reason. */
  readonly actor: Actor
  /** Opens the queue for jobs; without it a sweep enqueues those of a resumed run. */
  readonly openQueue: (() => Promise<Queue>) | undefined
}

/**
 * Performs an action and returns its result in one sentence.
 * @throws ReembedError as the command of the same purpose; USAGE without a required reason
 */
export async function perform(action: Action, target: ActionTarget): Promise<string> {
  const { store, run, actor, openQueue } = target
  if (NEEDS_REASON.has(action) && !actor.reason)
    throw new ReembedError('USAGE', `${action.replace('_', ' ')} needs a reason: state why`)
  switch (action) {
    case 'publish_anyway': {
      const [plan, manifest] = [await requirePlan(store, run), await requireManifest(store, run)]
      return outcomeSentence(await forcePublish(store, manifest, plan, actor))
    }
    case 'roll_back':
      return outcomeSentence(await rollback(store, run, actor))
    case 'pause':
      await stopRun(store, run, 'paused', actor)
      return 'paused; jobs in progress finish'
    case 'reject':
    case 'cancel':
      await stopRun(store, run, 'cancelled', actor)
      return action === 'reject' ? 'rejected: sweeps do not publish it' : 'cancelled; jobs in progress finish'
    case 'resume': {
      await using queue = await openQueue?.()
      const enqueued = await resumeRun(store, run, { queue, actor })
      return enqueued === undefined
        ? 'running; the next sweep of its workers enqueues its missing shards'
        : `running; ${counted(enqueued, 'job')} enqueued`
    }
    case 'retry_rejects': {
      if (openQueue === undefined)
        throw new ReembedError('USAGE', 'the rejects cannot be retried: this console has no Redis')
      const planned = await planRetry(store, run)
      await using queue = await openQueue()
      const { plan, enqueued } = await submitRun(store, queue, { ...planned, budget: {} })
      return `its rejects are embedded by run ${plan.run}; ${counted(enqueued, 'job')} enqueued`
    }
  }
}
