import { type Fault, faultOf, ReembedError } from '@reembed/shared'
import { describe, expect, test } from 'vitest'
import { dispositionOf, type Observer } from '../src/disposition.ts'

const least = (): number => 0
const of = (error: unknown, observer?: Partial<Observer>) =>
  dispositionOf(error, {
    draining: false,
    random: least,
    observer: observer && { isProven: false, isAlone: false, observations: 0, ...observer },
  })

const changed = new ReembedError('SOURCE_CHANGED', 'the file changed')
const bug = new TypeError('a bug')

describe('a fault is attributed', () => {
  test.each<[error: unknown, fault: Fault]>([
    [new ReembedError('STORE_ACCESS_DENIED', 'no right'), 'worker'],
    [new ReembedError('MODEL_MISMATCH', 'another model'), 'worker'],
    [new ReembedError('ENDPOINT_UNSUPPORTED', 'no TEI'), 'worker'],
    [new ReembedError('SOURCE_NOT_FOUND', 'no bucket'), 'worker'],
    [new ReembedError('STORE_UNREACHABLE', 'another certificate'), 'worker'],
    [new ReembedError('STORE_UNREACHABLE', '503', { retry: 'requeue' }), 'dependency'],
    [new ReembedError('ENDPOINT_OVERLOADED', '429', { retry: 'requeue' }), 'dependency'],
    [changed, 'run'],
    [new ReembedError('CORRUPT', 'damaged'), 'job'],
    [bug, 'job'],
  ])('%s to the %s', (error, fault) => {
    expect(faultOf(error)).toBe(fault)
  })
})

describe('the disposition of a job', () => {
  test('is a delay without an attempt for each fault of the worker or of a dependency', () => {
    for (const code of ['STORE_ACCESS_DENIED', 'MODEL_MISMATCH', 'USAGE', 'ENDPOINT_UNREACHABLE'] as const) {
      for (const observer of [undefined, { isProven: true }, { isAlone: true, observations: 100 }])
        expect(of(new ReembedError(code, 'x'), observer)).toMatchObject({ do: 'delay' })
    }
  })

  test('is short for a worker that is not proven, so that a healthy worker gets the job soon', () => {
    const mismatch = new ReembedError('MODEL_MISMATCH', 'x', { retry: 'requeue', retryAfterMs: 30_000 })
    expect(of(mismatch, {})).toEqual({ do: 'delay', delayMs: 5_000 })
    expect(of(mismatch, { isProven: true })).toEqual({ do: 'delay', delayMs: 30_000 })
  })

  test('is an observation for the first fault of the job, whatever the worker', () => {
    for (const observer of [{}, { isProven: true }, { isAlone: true }])
      expect(of(changed, observer)).toEqual({ do: 'delay', delayMs: 1_000, observation: 1 })
  })

  test('is final for a second fault, if the worker is proven or alone', () => {
    for (const trust of [{ isProven: true }, { isAlone: true }]) {
      expect(of(changed, { ...trust, observations: 1 })).toEqual({ do: 'fail' })
      expect(of(bug, { ...trust, observations: 1 })).toEqual({ do: 'retry' })
    }
  })

  test('is a delay that grows for a worker that is neither, and final after many observations', () => {
    expect(of(changed, { observations: 3 })).toEqual({ do: 'delay', delayMs: 8_000, observation: 4 })
    expect(of(changed, { observations: 15 })).toEqual({ do: 'delay', delayMs: 60_000, observation: 16 })
    expect(of(changed, { observations: 16 })).toEqual({ do: 'fail' })
  })

  test('is requeue without delay while the worker shuts down', () => {
    expect(dispositionOf(changed, { draining: true })).toEqual({ do: 'requeue' })
  })
})
