import type { RunStatus } from '@reembed/producer'
import type { WorkerActivity, WorkerState } from '@reembed/queue'
import { expect, test } from 'vitest'
import { createHistoryKeeper, replicaStates } from '../src/data/samples.ts'

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
    limit: 0,
    inFlight: 0,
    queueMs: null,
    p50Ms: null,
    p99Ms: null,
    refused: 0,
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
  for (let i = 0; i < 1_000; i += 1) keeper.add('/o', status(i % 2 === 0 ? 'running' : 'queued', {}), i)
  expect(keeper.of('/o', 'r').events).toHaveLength(200)
  keeper.retain(new Set())
  expect(keeper.of('/o', 'r').samples).toEqual([])
})

const ACTIVITY = {
  jobs: 1,
  limit: 64,
  inFlight: 30,
  requests: { answered: 30, refused: 20, failed: 0, p50Ms: 10, p99Ms: 40, queueMs: null },
}

/** A run with one worker for each activity. */
const withActivities = (...activities: WorkerActivity[]): RunStatus => {
  const made = status('running', Object.fromEntries(activities.map((_, i) => [`w${i}`, 'ok'])))
  const workers = made.queue?.workers.map((worker, i) => ({ ...worker, activity: activities[i] }))
  return { ...made, queue: { ...made.queue, workers } } as RunStatus
}

test('a sample has the figures of all workers: sums, weighted means and the highest p99', () => {
  const keeper = createHistoryKeeper()
  const slow = { answered: 10, refused: 0, failed: 0, p50Ms: 50, p99Ms: 90, queueMs: 8 }
  keeper.add('/o', withActivities(ACTIVITY, { ...ACTIVITY, requests: slow }), 0)
  expect(keeper.of('/o', 'r').samples[0]).toMatchObject({
    limit: 128,
    inFlight: 60,
    p50Ms: 20,
    p99Ms: 90,
    queueMs: 8,
    refused: 2,
  })
})

test('a replica that changes its state or is removed is an event with the reason', () => {
  const keeper = createHistoryKeeper()
  const replicas = (...all: WorkerActivity['replicas'] & object[]): RunStatus =>
    withActivities({ ...ACTIVITY, replicas: all })
  keeper.add('/o', replicas({ replica: 'a', state: 'in_use' }, { replica: 'b', state: 'in_use' }), 0)
  keeper.add('/o', replicas({ replica: 'a', state: 'quarantined', reason: 'serves x' }), 5_000)
  expect(keeper.of('/o', 'r').events.map(({ kind, text }) => [kind, text])).toEqual([
    ['replica', 'replica a quarantined: serves x'],
    ['replica', 'replica b removed'],
  ])
})

test('a state whose sentence has other numbers is the same event', () => {
  const keeper = createHistoryKeeper()
  keeper.add('/o', status('running', {}), 0)
  keeper.add('/o', status('waiting: no connection, 2 s', {}), 5_000)
  keeper.add('/o', status('waiting: no connection, 8 s', {}), 10_000)
  expect(keeper.of('/o', 'r').events.map(({ text }) => text)).toEqual(['waiting: no connection, 2 s'])
})

test('a replica has the worst state that a worker sees it in, whatever the order of the workers', () => {
  const seenAs = (state: string): WorkerState => {
    const replicas = [{ replica: 'http://tei-0', state, reason: `why ${state}` }]
    return {
      worker: state,
      endpoint: 'ok',
      outputs: [],
      atMs: 0,
      activity: { replicas },
    } as unknown as WorkerState
  }
  const workers = ['ejected', 'in_use', 'quarantined', 'unreachable'].map(seenAs)
  for (const order of [workers, workers.toReversed()])
    expect(replicaStates(order).get('http://tei-0')).toEqual({
      state: 'quarantined',
      reason: 'why quarantined',
    })
})
