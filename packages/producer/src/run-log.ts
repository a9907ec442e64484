// Logs a change of a run's state once, at its level: each sweep returns the state of every run.

import { messageOf } from '@reembed/shared'
import type { Logger } from '@reembed/telemetry'
import type { RunStatusState } from './run-status/describe.ts'
import type { SweepOutcome } from './sweep.ts'

export interface RunLog {
  /** Logs the runs of one sweep of an output whose state differs from that of the last sweep. */
  report(output: string, outcomes: readonly SweepOutcome[]): void
}

interface StateEntry {
  readonly level: 'info' | 'warn' | 'error'
  /** `broken`: this sweep failed, and the state is unchanged. */
  readonly state: RunStatusState | 'broken'
  readonly reason?: string | undefined
  readonly version?: number | undefined
}

export function createRunLog(log: Logger): RunLog {
  const known = new Map<string, ReadonlyMap<string, string>>()
  return {
    report(output, outcomes) {
      const before = known.get(output)
      const now = new Map<string, string>()
      for (const outcome of outcomes) {
        const { run } = outcome
        if (outcome.status === 'running' && outcome.enqueued > 0)
          log.info({ run, missing: outcome.missing }, 'missing shards enqueued again')
        const entry = entryOf(outcome)
        if (entry === undefined) continue
        const { level, ...fields } = entry
        const text = `${fields.state} ${fields.reason ?? ''}`
        now.set(run, text)
        if (before?.get(run) !== text) log[level]({ output, run, ...fields }, 'run state changed')
      }
      known.set(output, now)
    },
  }
}

/** Undefined for a run that was current already. */
function entryOf(outcome: SweepOutcome): StateEntry | undefined {
  const { status } = outcome
  if (status === 'broken') return { level: 'error', state: status, reason: messageOf(outcome.error) }
  if (status === 'failed') return { level: 'error', state: status, reason: outcome.failure?.message }
  if (status !== 'finished') return { level: 'info', state: status }
  const { publish } = outcome
  if (publish.status === 'held') return { level: 'warn', state: 'held', reason: publish.reason }
  if (publish.status === 'superseded')
    return {
      level: 'info',
      state: 'superseded',
      reason: `by version ${publish.by.version}, of run ${publish.by.run}`,
    }
  if (publish.status === 'already_current') return undefined
  return { level: 'info', state: 'published', version: publish.version.version }
}
