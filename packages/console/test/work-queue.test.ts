import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createWorkQueue, MAX_WAITING } from '../src/data/work-queue.ts'

const NEVER = new AbortController().signal
const unending = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
const open = (signal = NEVER) => createWorkQueue<string>({ kept: 2, failedMs: 10_000, signal })

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test('work that no page asks for any more is ended, and the next in line begins', async () => {
  const queue = open()
  const started: string[] = []
  const ended: string[] = []
  const read = (key: string) =>
    queue.read(key, signal => {
      started.push(key)
      signal.addEventListener('abort', () => ended.push(key))
      return unending(signal)
    })
  for (const key of ['left', 'left while waiting', 'watched']) read(key)
  for (let poll = 0; poll < 10; poll += 1) {
    await vi.advanceTimersByTimeAsync(5_000)
    // Its page stays open for ten seconds longer than that of the waiting one.
    if (poll < 2) read('left')
    expect(read('watched')).toEqual({ state: 'running', progress: undefined })
  }
  expect([started, ended]).toEqual([['left', 'watched'], ['left']])
  await vi.advanceTimersByTimeAsync(31_000)
  expect(ended).toEqual(['left', 'watched'])
})

test('work beyond the bound is refused with a sentence and not started, until other work ends', async () => {
  const queue = open()
  const first = Promise.withResolvers<string>()
  queue.read('first', () => first.promise)
  for (let i = 0; i < MAX_WAITING; i += 1) queue.read(`waiting ${i}`, async () => 'made')
  const make = vi.fn(async () => 'made')
  expect(queue.read('one more', make)).toEqual({
    state: 'refused',
    message: '10 searches or comparisons of other readers wait already: try again in a minute',
  })
  first.resolve('made')
  await vi.waitFor(() => expect(queue.read('one more', make)).toEqual({ state: 'done', value: 'made' }))
  expect(make).toHaveBeenCalledOnce()
})

test('work is made once for all readers, shows how far it is, and is forgotten when newer work is kept', async () => {
  const queue = open()
  const done = Promise.withResolvers<string>()
  const make = vi.fn(async (_: AbortSignal, show: (progress: string) => void) => {
    show('3 of 7 shards')
    return done.promise
  })
  queue.read('a', make)
  await vi.waitFor(() => expect(queue.read('a', make)).toMatchObject({ progress: '3 of 7 shards' }))
  done.resolve('made')
  await vi.waitFor(() => expect(queue.read('a', make)).toEqual({ state: 'done', value: 'made' }))
  expect(make).toHaveBeenCalledOnce()
  await vi.advanceTimersByTimeAsync(31_000)
  for (const key of ['b', 'c'])
    await vi.waitFor(() => expect(queue.read(key, async () => key)).toMatchObject({ state: 'done' }))
  expect(queue.read('a', make)).toMatchObject({ state: 'running' })
})

test('the end of the console ends the work in progress and starts none', async () => {
  const stop = new AbortController()
  const queue = open(stop.signal)
  const later = vi.fn(async () => 'made')
  queue.read('a', unending)
  queue.read('b', later)
  await vi.advanceTimersByTimeAsync(1)
  stop.abort(new Error('closed'))
  await vi.waitFor(() => expect(queue.read('a', unending)).toEqual({ state: 'failed', message: 'closed' }))
  await vi.advanceTimersByTimeAsync(1)
  expect(later).not.toHaveBeenCalled()
})

test('a result that a page asks for is never made again, however many pages are open; beyond the bound a page is refused', async () => {
  const queue = open()
  const made: string[] = []
  const read = (key: string) =>
    queue.read(key, async () => {
      made.push(key)
      return key
    })
  // Two that are kept anyway, ten that may wait, and the one in progress.
  const pages = Array.from({ length: 2 + MAX_WAITING + 1 }, (_, i) => `page ${i}`)
  for (const page of pages) {
    read(page)
    await vi.advanceTimersByTimeAsync(1)
  }
  for (let poll = 0; poll < 10; poll += 1) {
    await vi.advanceTimersByTimeAsync(5_000)
    for (const page of pages) expect(read(page)).toEqual({ state: 'done', value: page })
    expect(read('one more')).toMatchObject({
      state: 'refused',
      message:
        '13 searches or comparisons of other readers are shown already: close a page, or try again in a minute',
    })
  }
  expect(made).toEqual(pages)
  await vi.advanceTimersByTimeAsync(31_000)
  expect(read('one more')).toMatchObject({ state: 'running' })
  await vi.advanceTimersByTimeAsync(1)
  // Only as many as are kept remain of those that no page asks for.
  expect(pages.filter(page => read(page).state === 'done')).toHaveLength(1)
})
