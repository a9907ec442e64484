// What limits a run, in one sentence, from what its workers report.

import type { RunStatus } from '@reembed/producer'
import { count, counted } from '@reembed/render'

export interface LimitingFactor {
  readonly sentence: string
  readonly figures: readonly (readonly [string, string])[]
}

/** Undefined for a run that is not in progress, or about which Redis knows nothing. */
export function limitingFactor({ state, queue }: RunStatus): LimitingFactor | undefined {
  if (queue === undefined || !/^(running|waiting|queued)$/.test(state)) return undefined
  const { jobs, workers } = queue
  if (workers.length === 0) return { sentence: 'No worker takes its jobs.', figures: jobFigures(queue) }
  const stuck = workers.filter(({ endpoint }) => !/^(ok|not used yet|idle)/.test(endpoint))
  const [first] = stuck
  const figures = [['Workers', count(workers.length)] as const, ...jobFigures(queue)]
  if (first !== undefined) {
    return {
      sentence: `${stuck.length} of ${counted(workers.length, 'worker')} cannot embed: ${first.endpoint}.`,
      figures,
    }
  }
  const isTail = jobs.waiting === 0 && jobs.delayed === 0
  return {
    sentence: isTail
      ? `Its last ${counted(jobs.active, 'shard')} are in progress: more workers would not make it faster.`
      : `${counted(jobs.active, 'shard')} in progress, and ${counted(jobs.waiting + jobs.delayed, 'shard')} wait for a worker.`,
    figures,
  }
}

const jobFigures = ({ jobs }: NonNullable<RunStatus['queue']>): (readonly [string, string])[] => [
  ['Shards in progress', count(jobs.active)],
  ['Waiting', count(jobs.waiting)],
  ...(jobs.delayed > 0 ? [['Delayed', count(jobs.delayed)] as const] : []),
  ...(jobs.failed > 0 ? [['Failed', count(jobs.failed)] as const] : []),
]
