// What limits the speed of a run, in one sentence, from the heartbeats of its workers.

import { JOB_STAGES, type JobStage, type StageShares, type WorkerActivity } from '@reembed/queue'
import { isWorking, type QueueFacts } from './facts.ts'

/** What limits a run, and the figures behind the sentence. */
export interface Bottleneck {
  readonly sentence: string
  /** The stage that its workers spend most of their time on, if they measured it. */
  readonly stage: JobStage | undefined
  /** Means over the workers with jobs, which may be of other runs of the same workers. */
  readonly shares: StageShares | undefined
}

/** Undefined for a run that is not in progress, or about which Redis knows nothing. */
export function bottleneckOf(state: string, queue: QueueFacts | undefined): Bottleneck | undefined {
  if (queue === undefined || !/^(running|waiting|queued)$/.test(state)) return undefined
  const { jobs, workers } = queue
  const without = (sentence: string): Bottleneck => ({ sentence, stage: undefined, shares: undefined })
  if (workers.length === 0) return without('no worker takes its jobs')
  const stuck = workers.filter(worker => !isWorking(worker))
  if (stuck.length === workers.length)
    return without(`${counted(stuck.length, 'worker')} cannot embed: ${stuck[0]?.endpoint ?? ''}`)
  const shares = meanShares(workers.flatMap(({ activity }) => activity?.shares ?? []))
  const tail = tailOf(jobs)
  if (shares === undefined) return without(tail ?? workOf(jobs))
  const stage = JOB_STAGES.reduce((most, each) => (shares[each] > shares[most] ? each : most))
  const activities = workers.flatMap(({ activity }) => activity ?? [])
  const parts = [
    `${NAMES[stage]}, ${percent(shares[stage])} of the time of its workers`,
    stage === 'endpoint' ? endpointDetail(activities) : undefined,
    stuck.length > 0
      ? `${stuck.length} of ${counted(workers.length, 'worker')} cannot embed: ${stuck[0]?.endpoint ?? ''}`
      : undefined,
    tail ?? ADVICE[stage],
  ]
  return { sentence: parts.filter(part => part !== undefined).join('; '), stage, shares }
}

const NAMES: Readonly<Record<JobStage, string>> = {
  endpoint: 'waiting for the endpoint',
  source: 'reading the corpus',
  store: 'reading and writing the output',
  redis: 'waiting for Redis',
  cpu: 'the CPU of the workers',
}

/** What makes a run faster that has more jobs than its workers take. */
const ADVICE: Readonly<Partial<Record<JobStage, string>>> = {
  endpoint: 'more replicas would make it faster, more workers would not',
  source: 'more workers would make it faster if the corpus can be read faster',
  store: 'more workers would make it faster if the store can take more',
  cpu: 'more workers would make it faster',
}

type Jobs = QueueFacts['jobs']

/** At the end of a run the number of workers has no effect. */
const tailOf = ({ waiting, delayed, active }: Jobs): string | undefined =>
  waiting === 0 && delayed === 0 && active > 0
    ? `its last ${counted(active, 'shard')} are in progress, so more workers would not make it faster`
    : undefined

const workOf = ({ waiting, delayed, active }: Jobs): string =>
  `${counted(active, 'shard')} in progress, ${counted(waiting + delayed, 'shard')} waiting for a worker`

/** Whether the endpoint refuses, or is as busy as its limit allows. */
function endpointDetail(activities: readonly WorkerActivity[]): string {
  const sum = (of: (one: WorkerActivity) => number): number =>
    activities.reduce((total, each) => total + of(each), 0)
  const refused = sum(({ requests }) => requests.refused)
  const [inFlight, limit] = [sum(one => one.inFlight), sum(one => one.limit)]
  const load = `${Math.round(inFlight)} of at most ${Math.round(limit)} inputs in flight`
  return refused === 0 ? load : `${load}, ${refused} requests refused in ten seconds`
}

function meanShares(all: readonly StageShares[]): StageShares | undefined {
  if (all.length === 0) return undefined
  const mean = (stage: JobStage): number => all.reduce((sum, each) => sum + each[stage], 0) / all.length
  return Object.fromEntries(JOB_STAGES.map(stage => [stage, mean(stage)])) as unknown as StageShares
}

const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`
const percent = (share: number): string => `${Math.round(100 * share)} %`
