import { type Failure, isOverload } from '@reembed/endpoint'
import { describe, expect, test } from 'vitest'
import { type Reaction, react } from '../src/embed/react.ts'

const failure = (kind: string, more: object = {}): Failure => ({ kind, message: 'm', ...more }) as Failure
const most = (): number => 1
const never = (): number => 0

type Row = [failure: Failure, inputs: number, tries: number, reaction: Reaction]
const wait = (ms: number, inputs: number): Reaction => ({ do: 'retry', ms, inputs })
const canary: Reaction = { do: 'reject', reason: 'refused_by_model', proof: 'good_text' }
const tooLarge: Reaction = { do: 'reject', reason: 'too_large', proof: 'none' }
const stop: Reaction = { do: 'stop' }

const TABLE: Row[] = [
  [failure('overload'), 32, 1, wait(100, 32)],
  [failure('overload'), 32, 3, wait(400, 32)],
  [failure('overload'), 32, 4, wait(800, 16)],
  [failure('overload'), 1, 50, wait(5_000, 1)],
  [failure('cold_start'), 32, 1, wait(1_000, 32)],
  [failure('cold_start'), 32, 50, wait(15_000, 32)],
  [failure('down'), 32, 50, wait(30_000, 32)],
  [failure('gateway', { status: 502 }), 32, 1, wait(500, 32)],
  [failure('gateway', { status: 504 }), 32, 1, wait(500, 16)],
  [failure('gateway', { status: 502 }), 32, 3, { do: 'isolate', ms: 2_000 }],
  [failure('gateway', { status: 502 }), 32, 7, { do: 'isolate', ms: null }],
  [failure('reset'), 32, 2, wait(1_000, 32)],
  [failure('reset'), 32, 6, { do: 'isolate', ms: 16_000 }],
  [failure('reset'), 1, 7, { do: 'isolate', ms: null }],
  [failure('timeout'), 32, 1, wait(500, 16)],
  [failure('timeout'), 1, 3, { do: 'isolate', ms: 2_000 }],
  [failure('timeout'), 1, 4, { do: 'isolate', ms: null }],
  [failure('corrupt'), 32, 3, wait(800, 32)],
  [failure('corrupt'), 32, 4, stop],
  [failure('collapsed'), 32, 3, wait(800, 32)],
  [failure('collapsed'), 32, 4, wait(0, 16)],
  [failure('backend'), 32, 1, wait(500, 32)],
  [failure('backend'), 32, 2, wait(0, 16)],
  [failure('backend'), 1, 2, wait(1_000, 1)],
  [failure('backend'), 1, 3, canary],
  [failure('batch_limit', { limit: 5 }), 32, 1, wait(0, 5)],
  [failure('batch_limit', { limit: 40 }), 32, 1, stop],
  [failure('too_large'), 3, 1, wait(0, 2)],
  [failure('too_large'), 1, 1, tooLarge],
  [failure('too_long'), 2, 1, wait(0, 1)],
  [failure('too_long'), 1, 1, tooLarge],
  [failure('bad_input'), 32, 1, wait(0, 16)],
  [failure('bad_input'), 1, 1, canary],
  [failure('access_denied'), 32, 1, stop],
  [failure('paused'), 32, 1, stop],
  [failure('route_missing'), 32, 1, stop],
  [failure('redirect'), 32, 1, stop],
  [failure('wrong_model'), 32, 1, { do: 'retry', ms: 200, inputs: 32 }],
  [failure('wrong_model'), 32, 13, stop],
  [failure('unsupported'), 32, 1, stop],
]

describe('react', () => {
  test.each(TABLE)('%o of %i inputs, failed %i times', (given, inputs, tries, reaction) => {
    expect(react(given, inputs, tries, most)).toEqual(reaction)
  })

  test.each([
    [failure('gateway', { status: 502 }), 6],
    [failure('reset'), 6],
    [failure('timeout'), 3],
  ])('the good text itself is retried while it fails by %o, and stops after %i times', (given, times) => {
    expect(react(given, 1, times, most, true)).toMatchObject({ do: 'retry' })
    expect(react(given, 1, times + 1, most, true)).toEqual(stop)
  })

  test('jitter is full: clients that failed together come back spread over the whole delay', () => {
    expect(react(failure('overload'), 32, 3, never)).toEqual(wait(0, 32))
    expect(react(failure('overload'), 32, 3, () => 0.25)).toEqual(wait(100, 32))
  })

  test('what is sent again without waiting is smaller than before, so that it ends', () => {
    for (const [given] of TABLE) {
      for (let inputs = 2; inputs <= 64; inputs++) {
        const reaction = react(given, inputs, 2, most)
        if (reaction.do === 'retry' && reaction.ms === 0) expect(reaction.inputs).toBeLessThan(inputs)
      }
    }
  })

  test('only what speaks of load moves the limiter', () => {
    const moving = TABLE.map(([given]) => given).filter(isOverload)
    expect(new Set(moving.map(({ kind }) => kind))).toEqual(
      new Set(['overload', 'cold_start', 'down', 'gateway', 'reset', 'timeout']),
    )
  })
})
