// What happened, as one plain table, and what of it broke a promise.

import { messageOf } from '@reembed/shared'
import type { Race } from './keys.ts'
import type { Scenario } from './scenarios.ts'
import type { Takeover } from './takeovers.ts'
import type { FaultTime, Trial, Wounds } from './trial.ts'

export interface Row {
  readonly scenario: string
  readonly faults: string
  readonly documents: number | null
  readonly lost: number
  readonly doubled: number
  readonly foreign: number
  readonly overwritten: number
  readonly paidAgain: string
  readonly recovery: string
  readonly time: string
  readonly notes: readonly string[]
  /** Promises that were broken. */
  readonly broken: readonly string[]
}

/**
 * The lock of a job (20 s), the check that finds it without a worker (5 s), and the time of a job
 * that holds the slot.
 */
const RECOVERY_MS = 35_000
/** A recovery may take this in total, whatever else happens meanwhile. */
const RECOVERY_IN_ALL_MS = 2 * RECOVERY_MS
/** A request that an outage swallowed is sent again after this time (shared/src/deadlines.ts). */
const REPLY_MS = 20_000
const TAKEOVER_MS = 2_000

export interface Played {
  readonly name: string
  readonly scenario: Pick<Scenario, 'mostTimes'>
  readonly faults: number
  /** Requests to S3 that went wrong. */
  readonly s3Faults: number
  readonly trial: Trial
  /** The quiet run, if there was one. */
  readonly calm: Trial | undefined
}

/** One scenario compared with the corpus, the model and its quiet run. */
export function rowOf({ name, scenario, faults, s3Faults, trial, calm }: Played): Row {
  const { wounds } = trial
  const slow: string[] = []
  const broken = [...(calm?.broken ?? []).map(line => `quiet run: ${line}`), ...trial.broken]
  if (calm && trial.digest !== calm.digest) broken.push('not what the quiet run made')
  if (wounds.given < faults) broken.push(`only ${wounds.given} of ${faults} faults were given`)
  const lost = trial.takeovers.filter(({ signal }) => signal === 'SIGKILL')
  const handedBack = trial.takeovers.filter(({ signal }) => signal === 'SIGTERM')
  // A job waits like any other when no worker has a free slot.
  for (const { back, free } of lost) {
    if (back + free > RECOVERY_MS)
      broken.push(`a job of a killed worker was taken after ${seconds(back + free)}`)
  }
  for (const recovery of wounds.recoveries) {
    const ms = recovery.toMs - recovery.fromMs
    if (ms <= RECOVERY_MS) continue
    const [otherMs, others] = outagesWithin(recovery, wounds)
    const line = `recovery of ${recovery.fault} took ${seconds(ms)}, ${seconds(otherMs)} of it within ${others || 'no other fault'}`
    if (ms - otherMs > RECOVERY_MS || ms > RECOVERY_IN_ALL_MS) broken.push(line)
    else slow.push(line)
  }
  const times = calm && trial.seconds / calm.seconds
  if (times !== undefined && times > (scenario.mostTimes ?? Number.POSITIVE_INFINITY))
    broken.push(`took ${times.toFixed(2)} times as long as the quiet run`)

  const notes: string[] = [...slow]
  if (name === 'sigterm') {
    const late = handedBack.filter(({ back, free }) => back + free > TAKEOVER_MS).length
    if (late > 0)
      broken.push(
        `${late} jobs were taken over after more than ${TAKEOVER_MS / 1000} s with a place for them`,
      )
    if (wounds.leftLate > 0)
      broken.push(`${wounds.leftLate} workers took longer to leave than they were given`)
    if (trial.stalls > 0) broken.push(`${trial.stalls} stalls were counted`)
    notes.push(`left within ${span(wounds.leftMs)}`)
    notes.push(`${handedBack.length} jobs requeued: ${lying(handedBack)}`)
  }
  if (lost.length > 0) notes.push(`${lost.length} jobs of killed workers: ${lying(lost)}`)
  if (wounds.foreignReplies > 0) notes.push(`${wounds.foreignReplies} replies of the other model`)
  if (trial.stalls > 0) notes.push(`${trial.stalls} jobs found without a worker`)
  // 5: Redis was unreachable, or no longer answered. Whatever started the worker starts another
  // one.
  const strange = trial.endedAlone.filter(end => !end.startsWith('exit 5:'))
  if (strange.length > 0) broken.push(`${strange.length} workers ended by themselves: ${strange[0]}`)
  if (trial.endedAlone.length > strange.length) {
    notes.push(
      `${trial.endedAlone.length - strange.length} workers ended, to be started again: ${trial.endedAlone[0]}`,
    )
  }
  notes.push(
    `longest time without a new shard ${seconds(trial.longestGapMs)}${calm ? `, quiet ${seconds(calm.longestGapMs)}` : ''}`,
  )
  const more = trial.paidAgain - trial.underWay
  notes.push(
    `paid again: ${trial.paidAgain} documents; in shards under way when a fault came: ${trial.underWay}${more > 0 ? `; ${more} beyond` : ''}`,
  )
  return {
    scenario: name,
    faults: [
      ...(wounds.given > 0 ? [`${wounds.given}`] : []),
      ...(s3Faults > 0 ? [`${s3Faults} of S3`] : []),
    ].join(' + '),
    documents: trial.documents,
    lost: trial.lost,
    doubled: trial.doubled,
    foreign: trial.foreign,
    overwritten: trial.overwritten,
    paidAgain: `${trial.paidAgain} (${((100 * trial.paidAgain) / trial.documents).toFixed(1)} %)`,
    recovery: span([
      ...wounds.recoveries.map(({ fromMs, toMs }) => toMs - fromMs),
      ...lost.map(({ back, taken }) => back + taken),
    ]),
    time: `${trial.seconds.toFixed(0)} s${times === undefined ? '' : ` = ${times.toFixed(2)} x`}`,
    notes,
    broken,
  }
}

/**
 * Of a recovery, the time in which a later fault kept a dependency from answering, or its requests
 * waiting, and the names of those faults. The requests of an outage wait until the fleet has made
 * new shards again, which is the recovery of the outage and has its own limit, and for `REPLY_MS`
 * at most.
 */
function outagesWithin(
  { fromMs, toMs }: FaultTime,
  { outages, recoveries }: Pick<Wounds, 'outages' | 'recoveries'>,
): readonly [ms: number, names: string] {
  const within = outages.filter(outage => outage.fromMs >= fromMs && outage.fromMs < toMs)
  let [ms, untilMs] = [0, fromMs]
  for (const outage of within) {
    const after = recoveries.find(
      ({ fault, fromMs: beginMs }) => fault === outage.fault && beginMs >= outage.toMs,
    )
    const againMs = Math.min(after?.toMs ?? outage.toMs, outage.toMs + REPLY_MS)
    const endMs = Math.min(toMs, againMs)
    ms += Math.max(0, endMs - Math.max(untilMs, outage.fromMs))
    untilMs = Math.max(untilMs, endMs)
  }
  const names = within.map(({ fault, fromMs, toMs }) => `${fault} for ${seconds(toMs - fromMs)}`)
  return [ms, names.join(', ')]
}

const EMPTY: Omit<Row, 'scenario' | 'broken'> = {
  faults: '',
  documents: null,
  lost: 0,
  doubled: 0,
  foreign: 0,
  overwritten: 0,
  paidAgain: '',
  recovery: '',
  time: '',
  notes: [],
}

/** A scenario that did not come to its end. */
export const unfinished = (scenario: string, error: unknown): Row => ({
  ...EMPTY,
  scenario,
  broken: [messageOf(error)],
})

export const rowOfRace = (store: string, { rounds, processes, seconds: took, broken }: Race): Row => ({
  ...EMPTY,
  scenario: `keys, ${store}`,
  faults: `${rounds} x ${processes}`,
  overwritten: broken.length,
  time: `${took.toFixed(0)} s`,
  broken: broken.slice(0, 5),
})

function lying(jobs: readonly Takeover[]): string {
  const [back, taken, free] = (['back', 'taken', 'free'] as const).map(part =>
    span(jobs.map(each => each[part])),
  )
  return `on the queue after ${back}; taken by another ${taken} later, of which a place for it was free ${free}`
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** 'median, most'. */
function span(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const [middle, last] = [sorted[sorted.length >> 1], sorted.at(-1)]
  return middle === undefined || last === undefined ? '-' : `${seconds(middle)}, most ${seconds(last)}`
}

const COLUMNS = [
  'scenario',
  'faults',
  'documents',
  'lost',
  'doubled',
  'foreign',
  'overwritten',
  'paidAgain',
  'recovery',
  'time',
] as const

/** One line per row, then the notes on each. */
export function table(rows: readonly Row[]): string {
  const cells = [[...COLUMNS], ...rows.map(row => COLUMNS.map(name => String(row[name] ?? '')))]
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map(row => (row[i] ?? '').length)))
  const lines = cells.map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const said = rows.flatMap(({ scenario, notes, broken }) => [
    ...notes.map(line => `${scenario}: ${line}`),
    ...broken.map(line => `${scenario}: BROKEN: ${line}`),
  ])
  return [...lines, ...said].join('\n')
}
