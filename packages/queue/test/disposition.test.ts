import { type Fault, faultOf, ReembedError } from '@reembed/shared'
import { describe, expect, test } from 'vitest'
import { dispositionOf, type Observer } from '../src/disposition.ts'

const least = (): number => 0
/** The worker `a` beside `b`, after `count` observations by the workers of `by`. */
interface Situation extends Partial<Omit<Observer, 'earlier'>> {
  readonly count?: number
  readonly by?: readonly string[]
}
const of = (error: unknown, situation?: Situation) => {
  const { count = 0, by = count > 0 ? ['a'] : [], ...observer } = situation ?? {}
  return dispositionOf(error, {
    draining: false,
    random: least,
    observer: situation && {
      worker: 'a',
      isProven: false,
      others: ['b'],
      earlier: { count, by },
      ...observer,
    },
  })
}

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
      for (const observer of [undefined, { isProven: true }, { others: [], count: 100 }])
        expect(of(new ReembedError(code, 'x'), observer)).toMatchObject({ do: 'delay' })
    }
  })

  test('is short for a worker that is not proven, so that a healthy worker gets the job soon', () => {
    const mismatch = new ReembedError('MODEL_MISMATCH', 'x', { retry: 'requeue', retryAfterMs: 30_000 })
    expect(of(mismatch, {})).toEqual({ do: 'delay', delayMs: 5_000 })
    expect(of(mismatch, { isProven: true })).toEqual({ do: 'delay', delayMs: 30_000 })
  })

  test('is an observation for the first fault of the job, whatever the worker', () => {
    for (const observer of [{}, { isProven: true }, { others: [] }])
      expect(of(changed, observer)).toEqual({
        do: 'delay',
        delayMs: 1_000,
        observations: { count: 1, by: ['a'] },
      })
  })

  test('is final for a second fault, if the worker is proven or alone', () => {
    for (const trust of [{ isProven: true }, { others: [] }]) {
      expect(of(changed, { ...trust, count: 1 })).toEqual({ do: 'fail' })
      expect(of(bug, { ...trust, count: 1 })).toEqual({ do: 'retry' })
    }
  })

  test('is a delay that grows for a worker that is neither', () => {
    const by = ['a']
    for (const [count, delayMs] of [
      [3, 8_000],
      [15, 60_000],
    ] as const)
      expect(of(changed, { count })).toEqual({
        do: 'delay',
        delayMs,
        observations: { count: count + 1, by },
      })
  })

  test('is final after many observations once most live workers have made one', () => {
    expect(of(changed, { count: 16, by: ['a'] })).toMatchObject({ do: 'delay' })
    expect(of(changed, { count: 100, by: ['a', 'c'] })).toMatchObject({ do: 'delay' })
    expect(of(changed, { count: 16, by: ['a', 'b'] })).toEqual({ do: 'fail' })
    expect(of(changed, { count: 15, by: ['a', 'b'] })).toMatchObject({ do: 'delay' })
    expect(of(changed, { count: 16, by: ['a', 'b'], others: ['b', 'c'] })).toEqual({ do: 'fail' })
    expect(of(changed, { count: 16, by: ['a', 'b'], others: ['b', 'c', 'd'] })).toMatchObject({ do: 'delay' })
    expect(of(changed, { count: 100, by: ['a', 'b'], others: undefined })).toMatchObject({ do: 'delay' })
  })

  test('is final after the observations of 16 workers, and lists no more of them', () => {
    const by = Array.from({ length: 15 }, (_, i) => `worker-${i}`)
    expect(of(changed, { count: 16, by })).toMatchObject({ observations: { count: 17, by: [...by, 'a'] } })
    expect(of(changed, { count: 16, by: [...by, 'c'] })).toEqual({ do: 'fail' })
    expect(of(changed, { count: 2, by: [...by, 'c'] })).toMatchObject({ observations: { by: [...by, 'c'] } })
  })

  test('is requeue without delay while the worker shuts down', () => {
    expect(dispositionOf(changed, { draining: true })).toEqual({ do: 'requeue' })
  })
})
