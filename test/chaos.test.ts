// The short form of `npm run chaos`: one run with every fault once, on real parts.

import { expect, test } from 'vitest'
import { s3Fault } from './chaos/faults.ts'
import { drainInTurns, giving, hoursInTurns, SCENARIOS } from './chaos/scenarios.ts'
import { runTrial } from './chaos/trial.ts'
import { bundleCommand } from './parts/bundle.ts'
import { mulberry32 } from './parts/random.ts'

const { storm } = SCENARIOS

test('I1 I2 I6 I8 P-CHAOS: a run is complete and exact when all faults happen at once: kills, freezes, Redis emptied, full and silent, a silent S3, a foreign model, a hostile endpoint, skewed clocks, S3 errors', async () => {
  const given = storm?.given(0.1) ?? []
  const random = mulberry32(4)
  let failed = 0
  const trial = await runTrial(
    {
      command: [await bundleCommand()],
      store: 's3',
      documents: 3_000,
      documentsPerShard: 40,
      textsPerSecond: 800,
      replicas: 3,
      workers: 3,
      concurrency: 2,
      drainSeconds: drainInTurns,
      hoursAhead: hoursInTurns,
      s3Fault() {
        const fault = s3Fault(random)
        if (fault) failed += 1
        return fault
      },
    },
    giving(given, given.length, mulberry32(7)),
  )
  expect(trial.broken).toEqual([])
  expect(trial).toMatchObject({ lost: 0, doubled: 0, foreign: 0, overwritten: 0 })
  expect(trial.endedAlone.filter(end => !end.startsWith('exit 5:'))).toEqual([])
  expect(trial.wounds.given).toBe(11)
  expect(trial.wounds.foreignReplies).toBeGreaterThan(0)
  expect(trial.wounds.lies).toBeGreaterThan(0)
  expect(failed).toBeGreaterThan(10)
}, 300_000)
