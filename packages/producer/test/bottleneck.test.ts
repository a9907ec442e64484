import type { StageShares, WorkerState } from '@reembed/queue'
import { expect, test } from 'vitest'
import { bottleneckOf } from '../src/run-status/bottleneck.ts'
import type { QueueFacts } from '../src/run-status/facts.ts'

const NONE = { endpoint: 0, source: 0, store: 0, redis: 0, cpu: 0 }

const worker = (
  shares: Partial<StageShares> | undefined,
  endpoint = 'ok, limit 64',
  refused = 0,
): WorkerState => ({
  worker: 'w',
  endpoint,
  outputs: ['/out'],
  atMs: 0,
  activity: {
    shares: shares && { ...NONE, ...shares },
    jobs: 2,
    limit: 64,
    inFlight: 60,
    requests: { answered: 10, refused, failed: 0, p50Ms: 1, p99Ms: 2, queueMs: null },
  },
})

const queueOf = (workers: WorkerState[], jobs: Partial<QueueFacts['jobs']> = {}): QueueFacts => ({
  jobs: { waiting: 10, active: 2, delayed: 0, failed: 0, ...jobs },
  progress: {} as QueueFacts['progress'],
  workers,
  otherWorkers: 0,
  failures: [],
})

const sentenceOf = (workers: WorkerState[], jobs?: Partial<QueueFacts['jobs']>): string | undefined =>
  bottleneckOf('running', queueOf(workers, jobs))?.sentence

test.each([
  [
    'endpoint',
    'waiting for the endpoint, 80 % of the time of its workers; 60 of at most 64 inputs in flight; more replicas would make it faster, more workers would not',
  ],
  [
    'source',
    'reading the corpus, 80 % of the time of its workers; more workers would make it faster if the corpus can be read faster',
  ],
  [
    'store',
    'reading and writing the output, 80 % of the time of its workers; more workers would make it faster if the store can take more',
  ],
  ['redis', 'waiting for Redis, 80 % of the time of its workers'],
  ['cpu', 'the CPU of the workers, 80 % of the time of its workers; more workers would make it faster'],
] as const)('a run whose workers spend most time on %s is limited by it', (stage, sentence) => {
  const shares = { endpoint: 0.05, source: 0.05, store: 0.05, redis: 0.05, cpu: 0.05, [stage]: 0.8 }
  expect(bottleneckOf('running', queueOf([worker(shares)]))).toMatchObject({ stage, sentence })
})

test('the shares are means over the workers that had jobs', () => {
  const queue = queueOf([worker({ endpoint: 1 }), worker({ cpu: 1 }), worker({ cpu: 1 }), worker(undefined)])
  const { stage, shares } = bottleneckOf('running', queue) ?? {}
  expect(stage).toBe('cpu')
  expect(shares?.cpu).toBeCloseTo(2 / 3)
})

test('refusals, workers that cannot embed, and the last shards of a run are stated', () => {
  const busy = worker({ endpoint: 1 }, 'overloaded, limit 8', 7)
  expect(sentenceOf([busy])).toContain('60 of at most 64 inputs in flight, 7 requests refused in ten seconds')
  const stuck = worker(undefined, 'warming, 41 s')
  expect(sentenceOf([busy, stuck])).toContain('1 of 2 workers cannot embed: warming, 41 s')
  expect(sentenceOf([stuck])).toBe('1 worker cannot embed: warming, 41 s')
  expect(sentenceOf([busy], { waiting: 0, active: 3 })).toContain('its last 3 shards are in progress')
  expect(sentenceOf([])).toBe('no worker takes its jobs')
})

test('workers that measure nothing leave the sentence to the queue, and a run not in progress has none', () => {
  const { activity: _, ...old } = worker(undefined)
  expect(sentenceOf([old])).toBe('2 shards in progress, 10 shards waiting for a worker')
  expect(bottleneckOf('published', queueOf([old]))).toBeUndefined()
  expect(bottleneckOf('running', undefined)).toBeUndefined()
})
