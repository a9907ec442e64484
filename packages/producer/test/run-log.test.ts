// What the log states about a sweep is what the sweep did.

import type { Logger } from '@reembed/telemetry'
import { expect, test } from 'vitest'
import { createRunLog } from '../src/run-log.ts'
import type { SweepOutcome } from '../src/sweep.ts'

const OUTPUT = 's3://vectors/wiki'
const RUN = 'a'.repeat(26)

function recorded(): { readonly lines: string[]; readonly log: Logger } {
  const lines: string[] = []
  const write = (_facts: object, message: string): void => void lines.push(message)
  return { lines, log: { debug: write, info: write, warn: write, error: write } }
}

const running = (enqueued: number): SweepOutcome[] => [{ run: RUN, status: 'running', missing: 7, enqueued }]

test('a sweep is logged as having enqueued missing shards only if it added a job', () => {
  const { lines, log } = recorded()
  const runLog = createRunLog(log)
  runLog.report(OUTPUT, running(0))
  expect(lines).not.toContain('missing shards enqueued again')
  runLog.report(OUTPUT, running(2))
  expect(lines).toContain('missing shards enqueued again')
})

test('a state is logged once until it changes', () => {
  const { lines, log } = recorded()
  const runLog = createRunLog(log)
  for (const outcomes of [running(0), running(0), running(0)]) runLog.report(OUTPUT, outcomes)
  expect(lines).toEqual(['run state changed'])
  runLog.report(OUTPUT, [{ run: RUN, status: 'paused' }])
  expect(lines).toEqual(['run state changed', 'run state changed'])
})
