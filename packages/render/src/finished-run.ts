// A finished run, and the result of publishing it.

import type { PublishOutcome } from '@reembed/producer'
import type { Manifest } from '@reembed/protocol'
import { shardPrefix } from '@reembed/shared'
import { bytes, count } from './numbers.ts'
import { describePaid } from './plan.ts'
import type { Row } from './rows.ts'
import { alteredRows, documentsText, reuseRow, unreadRow } from './totals.ts'

/** The result of publishing a run, in one sentence. */
export function outcomeSentence(outcome: PublishOutcome): string {
  if (outcome.status === 'held') return `held: ${outcome.reason}`
  if (outcome.status === 'superseded')
    return `superseded by version ${outcome.by.version}, of run ${outcome.by.run}`
  const { version, overriddenReasons, unjudgedGates } = outcome.version
  const despite = overriddenReasons ? `, despite: ${overriddenReasons.join('; ')}` : ''
  const unjudged = unjudgedGates ? `; not judged: ${unjudgedGates.join('; ')}` : ''
  return `${outcome.status === 'already_current' ? 'already ' : ''}published as version ${version}${despite}${unjudged}`
}

/** The rows of a finished run; the first one is the result in one sentence. */
export function describeFinishedRun(manifest: Manifest, outcome: PublishOutcome, output: string): Row[] {
  const { run, totals, shards, actualCost, quote } = manifest
  return [
    ['run', `${run}  ${outcomeSentence(outcome)}`],
    ['documents', `${documentsText(totals)}${rejectsNote(manifest)}`],
    ...unreadRow(totals),
    ...alteredRows(totals),
    ...reuseRow(manifest),
    ...(actualCost ? describePaid(actualCost, quote) : []),
    [
      'shards',
      `${count(shards)}, ${bytes(totals.bytes)} in ${output.replace(/\/$/, '')}/${shardPrefix(run)}`,
    ],
  ]
}

/** The same as data, for JSON. */
export const finishedRunData = (manifest: Manifest, outcome: PublishOutcome): object => ({
  run: manifest.run,
  status: outcome.status,
  ...(outcome.status === 'held' && { reason: outcome.reason }),
  version: 'version' in outcome ? outcome.version.version : null,
  shards: manifest.shards,
  totals: manifest.totals,
  baseRun: manifest.baseRun ?? null,
  unfinishedBaseRuns: manifest.unfinishedBaseRuns ?? [],
  rejectReasons: manifest.rejectReasons,
  model: manifest.model,
  actualCost: manifest.actualCost,
  quote: manifest.quote,
})

function rejectsNote({ rejectReasons }: Manifest): string {
  const reasons = Object.entries(rejectReasons).map(([reason, times]) => `${reason} ${count(times)}`)
  return reasons.length === 0 ? '' : ` (${reasons.join(', ')})`
}

/** The queries that got worse, by the gate that failed, worst first. */
export const describeWorse = (outcome: PublishOutcome): Row[] =>
  outcome.status !== 'held'
    ? []
    : outcome.gates.flatMap(({ gate, worse = [] }) =>
        worse.map(
          ({ query, text, before, after }): Row => [
            'worse',
            `${before.toFixed(3)} to ${after.toFixed(3)}  ${query}  ${JSON.stringify(text ?? '')}  (${gate})`,
          ],
        ),
      )
