import { expect, test } from 'vitest'
import { batched, mapConcurrent } from '../src/streams.ts'

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = []
  for await (const value of source) values.push(value)
  return values
}

/** A source that records whether it was closed and how many values were read. */
function watched(count: number) {
  const state = { pulled: 0, closed: false }
  async function* source() {
    try {
      for (let i = 0; i < count; i += 1) {
        state.pulled += 1
        yield i
      }
    } finally {
      state.closed = true
    }
  }
  return { state, source: source() }
}

test('batched keeps the order, and only its last batch is shorter', async () => {
  expect(await collect(batched([1, 2, 3, 4, 5], 2))).toEqual([[1, 2], [3, 4], [5]])
  expect(await collect(batched([], 2))).toEqual([])
})

test('mapConcurrent yields results in source order when later calls finish first', async () => {
  const gates = [0, 1, 2].map(() => Promise.withResolvers<void>())
  const results = collect(
    mapConcurrent([0, 1, 2], async i => gates[i]?.promise.then(() => i), { concurrency: 3 }),
  )
  for (const gate of gates.toReversed()) gate.resolve()
  expect(await results).toEqual([0, 1, 2])
})

test('mapConcurrent runs and holds at most `concurrency` values of a long source', async () => {
  const { state, source } = watched(100)
  let most = 0
  let running = 0
  const mapped = mapConcurrent(
    source,
    async i => {
      running += 1
      most = Math.max(most, running)
      await new Promise(resolve => setImmediate(resolve))
      running -= 1
      return i
    },
    { concurrency: 4 },
  )
  await mapped.next()
  expect(state.pulled).toBeLessThanOrEqual(6)
  await collect(mapped)
  expect(most).toBe(4)
})

test('mapConcurrent yields a finished result while the source is waiting', async () => {
  const more = Promise.withResolvers<void>()
  async function* slow() {
    yield 'first'
    await more.promise
    yield 'second'
  }
  const mapped = mapConcurrent(slow(), async value => value, { concurrency: 2 })
  expect(await mapped.next()).toEqual({ done: false, value: 'first' })
  more.resolve()
  expect(await collect(mapped)).toEqual(['second'])
})

test('mapConcurrent throws the first failure after it aborted the other calls and closed the source', async () => {
  const { state, source } = watched(10)
  let ended = 0
  const mapped = mapConcurrent(
    source,
    async (i, signal) => {
      if (i === 2) throw new Error('the second failed')
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
      ended += 1
      signal.throwIfAborted()
    },
    { concurrency: 3 },
  )
  await expect(collect(mapped)).rejects.toThrow('the second failed')
  expect(ended).toBe(2)
  expect(state.closed).toBe(true)
})

/** Pending until the signal is aborted. */
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))

test('mapConcurrent aborts running calls and closes the source when the consumer stops early', async () => {
  const { state, source } = watched(10)
  let aborted = 0
  const second = Promise.withResolvers<void>()
  const mapped = mapConcurrent(
    source,
    async (i, signal) => {
      if (i === 0) return second.promise
      second.resolve()
      await untilAborted(signal).finally(() => {
        aborted += 1
      })
    },
    { concurrency: 3 },
  )
  for await (const _ of mapped) break
  expect(aborted).toBeGreaterThan(0)
  expect(state.closed).toBe(true)
})

test("mapConcurrent aborts running calls and throws the caller's reason when the caller aborts", async () => {
  const stop = new AbortController()
  const started = Promise.withResolvers<void>()
  const mapped = mapConcurrent(
    [1, 2],
    (_, signal) => {
      started.resolve()
      return untilAborted(signal)
    },
    { concurrency: 1, signal: stop.signal },
  )
  const next = mapped.next()
  await started.promise
  stop.abort(new Error('enough'))
  await expect(next).rejects.toThrow('enough')
})
