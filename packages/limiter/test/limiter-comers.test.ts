// Workers with intermittent work on a simulated clock: no waiting request is lost between limiter
// and coordinator.

import { createLimitCoordinator, type LimitCoordinator } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'
import { createSimulatedClock, seeded } from '@reembed/testing'
import { expect, test } from 'vitest'
import { createLimiter, type Limiter } from '../src/limiter.ts'

const SEEDS = 60
const STORMY_MS = 40_000
const CALM_MS = 90_000

/** How many who asked were neither served nor sent back when all had been well for so long. */
async function forgotten(seed: number): Promise<number> {
  const clock = createSimulatedClock()
  const random = seeded(seed)
  const below = (n: number): number => Math.floor(n * random())
  const isStormy = (): boolean => clock.now() < STORMY_MS
  const board = createLimitCoordinator(clock)
  /** The coordinator fails in some seconds, the endpoint in others; both depend on the seed. */
  const [silent, away] = [0.3, 0.5].map(share =>
    Array.from({ length: STORMY_MS / 4_000 }, () => random() < share * random()),
  )
  const isNow = (seconds: readonly boolean[] | undefined): boolean =>
    isStormy() && seconds?.[Math.floor(clock.now() / 4_000)] === true
  const heard: LimitCoordinator = {
    ...board,
    async report(report) {
      await clock.sleep(below(20))
      if (isNow(silent)) throw new Error('silent')
      return board.report(report)
    },
  }
  const max = 1 + below(8)
  let waiting = 0

  async function client(limiter: Limiter): Promise<void> {
    while (isStormy()) {
      await clock.sleep(random() < 0.5 ? below(200) : below(5_000))
      const stop = new AbortController()
      if (random() < 0.2) void clock.sleep(below(3_000)).then(() => stop.abort(new Error('stopped')))
      waiting++
      try {
        const permit = await limiter.acquire(1 + below(4), stop.signal, random() < 0.3)
        await clock.sleep(5 + below(800))
        if (isNow(away)) permit.dropped('down')
        else if (isStormy() && random() < 0.2) permit.dropped()
        else if (random() < 0.1) permit.ignore()
        else permit.success({ queueMs: below(100), inferenceMs: 20, totalMs: 30 })
      } catch (error) {
        if (!(error instanceof ReembedError) && !stop.signal.aborted) throw error
      } finally {
        waiting--
      }
    }
  }

  const clients = Array.from({ length: 1 + below(12) }, (_, i) => {
    const limiter = createLimiter({
      coordinator: heard,
      worker: `w${i}`,
      max,
      initial: max,
      clock,
      random,
      maxUnavailableMs: 5_000,
      async probe() {
        await clock.sleep(5)
        return isNow(away) ? { reason: 'down' } : null
      },
    })
    return Array.from({ length: 1 + below(3) }, () => client(limiter))
  })
  await clock.runUntil(STORMY_MS + CALM_MS)
  if (waiting === 0) await Promise.all(clients.flat())
  return waiting
}

test('P-TURN: each request gets a permit or fails, with intermittent work, coordinator and endpoint', async () => {
  const found: Record<number, number> = {}
  for (let seed = 1; seed <= SEEDS; seed++) {
    const count = await forgotten(seed)
    if (count > 0) found[seed] = count
  }
  expect(found).toEqual({})
})
