// The status of a run as rows of text, and as one line of a list.

import type { OutputStatus, PlanningStatus, RunStatus } from '@reembed/producer'
import { printable } from '@reembed/shared'
import { modelText } from './model.ts'
import { count, counted, dollars, duration, when } from './numbers.ts'
import type { Row } from './rows.ts'
import { loadText } from './stored-run.ts'
import { alteredRows, documentsText, reuseRow, unreadRow } from './totals.ts'

/** The rows of runs that are being planned, then those of the run. */
export function describeOutputStatus({ run, planning }: OutputStatus, nowMs: number): Row[] {
  const rows = planning.map(({ sentence, planner }): Row => ['run', `${sentence}, by ${planner}`])
  return run ? [...rows, ...describeRunStatus(run, nowMs)] : rows
}

/** The rows of a run's status; the first one is its state in one sentence. */
export function describeRunStatus(status: RunStatus, nowMs: number): Row[] {
  const { run, sentence, model, shards, shardsDone, totals, queue, plannedMs, lastProgressMs } = status
  const rows: Row[] = [['run', `${run}  ${sentence}`]]
  if (plannedMs !== undefined)
    rows.push(['planned', `${when(plannedMs)}, ${duration(nowMs - plannedMs)} ago`])
  if (model) rows.push(['model', modelText({ model })])
  const percent = shards === 0 ? 0 : Math.floor((100 * shardsDone) / shards)
  const last =
    totals || lastProgressMs === undefined || shardsDone === 0
      ? ''
      : `, the last one ${duration(nowMs - lastProgressMs)} ago`
  rows.push(['shards', `${count(shardsDone)} of ${count(shards)}  (${percent} %)${last}`])
  if (totals) {
    rows.push(['documents', documentsText(totals)], ...unreadRow(totals), ...alteredRows(totals))
    rows.push(...reuseRow({ ...status, totals }))
  } else rows.push([`${status.unit}s`, progressText(status)])
  rows.push(...costRow(status))
  if (status.bottleneck) rows.push(['bottleneck', status.bottleneck.sentence])
  if (queue) rows.push(...queueRows(queue))
  for (const load of status.loads ?? []) rows.push(['vector store', loadText(load, nowMs)])
  return rows
}

/** 'about 15,000, 4,870 done (32 %), 120/s, 1 m 25 s left' */
function progressText({ documents, documentsDone, speed }: RunStatus): string {
  const percent = documents === 0 ? 0 : Math.min(100, Math.floor((100 * documentsDone) / documents))
  const { documentsPerSecond, secondsLeft } = speed
  const rate =
    documentsPerSecond === null
      ? ''
      : `, ${documentsPerSecond < 10 ? documentsPerSecond.toFixed(1) : count(documentsPerSecond)}/s`
  const left = secondsLeft === null ? '' : `, about ${duration(1000 * secondsLeft)} left`
  return `about ${count(documents)}, ${count(documentsDone)} done (${percent} %)${rate}${left}`
}

/** The tokens and the cost so far, and those of the whole run. */
function costRow({ cost, totals }: RunStatus): Row[] {
  const { tokens, dollars: spent, projectedTokens, projectedDollars } = cost
  if (tokens === null) return []
  const text = (n: number, price: number | null): string =>
    `${counted(n, 'token')}${price === null ? '' : `, ${dollars(price)}`}`
  if (totals || projectedTokens === null) return [['cost', text(tokens, spent)]]
  return [
    ['cost', `about ${text(tokens, spent)} so far; about ${text(projectedTokens, projectedDollars)} in all`],
  ]
}

function queueRows({ jobs, workers, otherWorkers, failures }: NonNullable<RunStatus['queue']>): Row[] {
  const { waiting, active, delayed, failed } = jobs
  const others = otherWorkers === 0 ? '' : `; ${counted(otherWorkers, 'worker')} of other outputs`
  return [
    [
      'queue',
      `${count(waiting)} waiting, ${count(active)} active, ${count(delayed)} delayed, ${count(failed)} failed`,
    ],
    [
      'workers',
      `${workers.map(({ worker, endpoint }) => `${worker} (${endpoint})`).join(', ') || 'no worker serves this output'}${others}`,
    ],
    ...failures.map(({ shard, reason }): Row => ['failed', `shard ${shard}: ${reason}`]),
  ]
}

/**
 * Header and one line for each run, those that are being planned first. At most 80 columns; a wider
 * terminal also gets the model.
 */
export function listRuns(
  runs: readonly RunStatus[],
  columns: number,
  planning: readonly PlanningStatus[] = [],
): string {
  const rows = [
    ['RUN', 'STATE', 'VERSION', 'SEQ', 'PLANNED (UTC)', 'ROWS', 'COST', 'MODEL'],
    ...planning.map(({ state, sinceMs }) => ['-', state, '-', '-', when(sinceMs), '-', '-', '-']),
    ...runs.map(({ run, state, version, seq, plannedMs, totals, documents, documentsDone, cost, model }) => [
      run.slice(0, ID_CHARS),
      state,
      version === undefined ? '-' : String(version),
      String(seq),
      plannedMs === undefined ? '-' : when(plannedMs),
      totals
        ? count(totals.rows)
        : `${documents === 0 ? 0 : Math.floor((100 * documentsDone) / documents)} %`,
      cost.projectedDollars === null ? '-' : dollars(cost.projectedDollars),
      model ? modelText({ model }) : '-',
    ]),
  ]
  const shown = columns < MODEL_COLUMNS ? rows.map(row => row.slice(0, -1)) : rows
  const widths = shown[0]?.map((_, i) => Math.max(...shown.map(row => (row[i] ?? '').length))) ?? []
  return shown
    .map(row =>
      row
        .map(printable)
        .map((cell, i) => (LEFT.includes(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))),
    )
    .map(cells => cells.join(' ').trimEnd())
    .join('\n')
}

const LEFT = [0, 1, 4, 7]
const MODEL_COLUMNS = 120
/** 60 of the 130 bits of an id: enough to name a run. */
const ID_CHARS = 12
