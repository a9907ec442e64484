// The long form of silent.test.ts: every command against every failure of every dependency.
// `npm run deadlines -- --write` writes the table of docs/deadlines.md.

import { expect, test } from 'vitest'
import { measureMatrix } from './deadlines/matrix.ts'

const TIMEOUT_SECONDS = 3
/** Two calls one after the other, the grace period of `run`, and a loaded machine. */
const MOST_MS = 2 * 1000 * TIMEOUT_SECONDS + 10_000

test('every command ends within its deadline with exit code 5, or 0 if it can continue, whatever half-dead dependency it meets, and at once by SIGTERM', async () => {
  const cells = await measureMatrix({ timeoutSeconds: TIMEOUT_SECONDS, atOnce: 4 })
  expect(cells.length).toBeGreaterThan(250)
  const wrong = cells.filter(({ failure, endMs, firstLineMs, code, expectedCode, signalMs }) => {
    // A process that is refused has no first connection from which times could count.
    const isLate = failure !== 'refuses' && Math.max(endMs ?? 0, firstLineMs ?? 0) > MOST_MS
    return isLate || (endMs !== null && code !== expectedCode) || (signalMs ?? 0) > MOST_MS
  })
  expect(wrong).toEqual([])
}, 1_200_000)
