import type { RunStatus } from '@reembed/producer'
import { expect, test } from 'vitest'
import { createHistoryKeeper } from '../src/data/samples.ts'

const PROGRESS = {
  shards: 0,
  documents: 0,
  rows: 0,
  rejects: 0,
  tokens: 0,
  bytes: 0,
  truncated: 0,
  unreadTokens: 0,
}

const status = (sentence: string, workers: Record<string, string>): RunStatus =>
  ({
    run: 'r',
    sentence,
    documentsDone: 5,
    cost: { tokens: 7 },
    queue: {
      jobs: { waiting: 1, active: 2, delayed: 0, failed: 0 },
      progress: { ...PROGRESS, openDocuments: 0 },
      workers: Object.entries(workers).map(([worker, endpoint]) => ({
        worker,
        endpoint,
        outputs: [],
        atMs: 0,
      })),
      otherWorkers: 0,
      failures: [],
    },
  }) as unknown as RunStatus

test('a day of samples keeps an hour of them, one in five seconds', () => {
  const keeper = createHistoryKeeper()
  for (let second = 0; second < 86_400; second += 1) keeper.add('/o', status('running', {}), 1_000 * second)
  const { samples, events } = keeper.of('/o', 'r')
  expect(samples).toHaveLength(3_600 / 5)
  expect(samples.at(-1)).toEqual({
    atMs: 86_395_000,
    documents: 5,
    tokens: 7,
    waiting: 1,
    active: 2,
    delayed: 0,
    failed: 0,
    workers: 0,
  })
  expect(events).toEqual([])
})

test('a lost worker, a changed endpoint and a changed state are events, figures in a state are not', () => {
  const keeper = createHistoryKeeper()
  keeper.add('/o', status('running', { a: 'ok, limit 4', b: 'warming, 41 s' }), 0)
  keeper.add('/o', status('running', { a: 'ok, limit 8', b: 'warming, 42 s' }), 5_000)
  expect(keeper.of('/o', 'r').events).toEqual([])
  keeper.add('/o', status('waiting: x', { a: 'warming, 1 s', c: 'ok' }), 10_000)
  expect(keeper.of('/o', 'r').events.map(({ kind, text }) => [kind, text])).toEqual([
    ['state', 'waiting: x'],
    ['endpoint', 'worker a: endpoint warming, 1 s'],
    ['worker', 'worker c serves the output'],
    ['lost', 'worker b sends no heartbeat'],
  ])
})

test('the number of events and of remembered runs is bounded', () => {
  const keeper = createHistoryKeeper()
  for (let i = 0; i < 1_000; i += 1) keeper.add('/o', status(`state ${i}`, {}), i)
  expect(keeper.of('/o', 'r').events).toHaveLength(200)
  keeper.retain(new Set())
  expect(keeper.of('/o', 'r').samples).toEqual([])
})
