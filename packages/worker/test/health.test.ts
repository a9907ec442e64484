import { ReembedError } from '@reembed/shared'
import { createManualClock } from '@reembed/testing'
import { describe, expect, test } from 'vitest'
import { createWorkerHealth, unreadyReason } from '../src/health.ts'
import { createSuspension } from '../src/suspension.ts'

const denied = new ReembedError('STORE_ACCESS_DENIED', 'no right to put')
const foreign = new ReembedError('MODEL_MISMATCH', 'another model')
const down = new ReembedError('ENDPOINT_UNREACHABLE', 'refused', { retry: 'requeue' })
const cold = new ReembedError('ENDPOINT_UNREACHABLE', 'warming', { retry: 'requeue', reason: 'cold_start' })
const changed = new ReembedError('SOURCE_CHANGED', 'the file changed')

describe('the health of a worker', () => {
  test('is bad from its first own fault, and suspends it after three in a row', () => {
    const health = createWorkerHealth()
    health.failed(denied)
    expect(unreadyReason(health)).toBe('failing: no right to put')
    health.failed(denied)
    expect(health.isSuspended).toBe(false)
    health.failed(foreign)
    expect(health.isSuspended).toBe(true)
    expect(unreadyReason(health)).toBe('takes no jobs: another model')
    health.finished()
    expect(unreadyReason(health)).toBeNull()
  })

  test('does not depend on an outage, a cold start, or a fault of a job', () => {
    const health = createWorkerHealth()
    for (let i = 0; i < 5; i += 1) for (const error of [cold, changed]) health.failed(error)
    expect(unreadyReason(health)).toBeNull()
    health.finished()
    for (let i = 0; i < 5; i += 1) health.failed(down)
    expect(unreadyReason(health)).toBeNull()
    expect(health.isProven).toBe(true)
  })

  test('is bad when the endpoint has never answered: its address is more likely wrong than down', () => {
    const health = createWorkerHealth()
    health.failed(down)
    expect(health.isSuspended).toBe(true)
    health.answered()
    expect(health.isSuspended).toBe(false)
  })

  test('is not good again by an answer of the endpoint when the store is at fault', () => {
    const health = createWorkerHealth()
    for (let i = 0; i < 3; i += 1) health.failed(denied)
    health.answered()
    expect(health.isSuspended).toBe(true)
  })

  test('is proven by a finished job, until it fails three times in a row', () => {
    const health = createWorkerHealth()
    expect(health.isProven).toBe(false)
    health.finished()
    health.failed(changed)
    health.failed(changed)
    expect(health.isProven).toBe(true)
    health.failed(changed)
    expect(health.isProven).toBe(false)
  })
})

test('a suspended worker tries one job at intervals, is reported once, and gives up after the time', async () => {
  const clock = createManualClock()
  const health = createWorkerHealth(clock.now)
  const calls: string[] = []
  const consumer = {
    suspend: () => void calls.push('suspend'),
    takeOne: async () => {
      calls.push(`take ${clock.now()}`)
      health.failed(denied)
      suspension.update()
    },
    resume: () => void calls.push('resume'),
  }
  const logged: string[] = []
  const log = { error: (_: object, text: string) => void logged.push(text), info: () => {} }
  const gaveUp: unknown[] = []
  const suspension = createSuspension({
    health,
    consumer,
    probe: async () => null,
    log: log as never,
    clock,
    giveUpMs: 60_000,
    onGiveUp: error => void gaveUp.push(error),
  })
  for (let i = 0; i < 4; i += 1) {
    health.failed(denied)
    suspension.update()
  }
  for (let s = 0; s < 61; s += 1) await clock.advance(1_000)
  expect(calls).toEqual(['suspend', 'take 5000', 'take 15000', 'take 35000'])
  expect(logged).toEqual(['worker takes no jobs: no right to put; it tries one job every 5 to 30 s'])
  expect(gaveUp).toEqual([denied])
  health.finished()
  suspension.update()
  expect(calls.at(-1)).toBe('resume')
})
