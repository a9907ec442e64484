// What the console costs: requests to the store and to Redis with 0, 1 and 10 pages open, the bytes
// of pages, and the heap before and after a day of polls with ten readers.
//
//   node --expose-gc --conditions=@reembed/source bench/console.ts [bytes | requests | day]     all without a name
//
// The day is simulated: the clock is 5 s later at each poll, and every poll has other figures, so
// that every region of the page is sent to every reader. Not measured: the latency of a bucket.

import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type ConsoleQueue, serveConsole } from '@reembed/console'
import { startRedis } from '@reembed/local'
import { type Plan, putPlan, takeSeq } from '@reembed/protocol'
import { openQueueReader, type WorkerState } from '@reembed/queue'
import { shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'

const RUN = 'a'.repeat(26)
const SHARDS = 2_000
const POLL_MS = 5_000
const DAY_POLLS = (24 * 3_600_000) / POLL_MS
const READERS = [0, 1, 10]

async function planned(store: Store): Promise<void> {
  const model = { id: 'org/model', revision: 'r1', dimensions: 2, pooling: null, normalized: true }
  const plan: Plan = {
    format: 1,
    run: RUN,
    seq: await takeSeq(store, RUN),
    spaceId: 's',
    recipeId: 'r',
    source: '/corpus',
    recipe: { model, prompt: '', fields: null, truncate: true, dtype: 'float32' },
    shards: SHARDS,
    slicesPerSegment: SHARDS,
    objects: 1,
    bytes: 10,
    estimatedDocuments: 1_000_000,
    snapshotSha256: 'x',
    maxRejects: '1%',
  }
  await putPlan(store, plan)
  for (let shard = 0; shard < 200; shard += 1)
    await store.putIfAbsent(shardKey(RUN, shard, SHARDS), Buffer.from('shard'))
}

/**
 * Counts the calls of a store; `url` makes it a bucket for the console, which reads it less often.
 */
function counted(store: Store, url: string): { readonly store: Store; readonly calls: { count: number } } {
  const calls = { count: 0 }
  const proxy = new Proxy(store, {
    get(target, name, receiver) {
      if (name === 'url') return url
      const value: unknown = Reflect.get(target, name, receiver)
      if (typeof value !== 'function') return value
      return (...given: unknown[]) => {
        calls.count += 1
        return value.apply(target, given)
      }
    },
  })
  return { store: proxy, calls }
}

/** Opens pages and reads their events until the returned function is called. */
async function openReaders(url: string, count: number): Promise<{ stop(): void; bytes(): number }> {
  const stop = new AbortController()
  let bytes = 0
  async function follow(): Promise<void> {
    const response = await fetch(`${url}/events?page=/runs/${RUN}`, { signal: stop.signal })
    for await (const piece of response.body ?? []) bytes += piece.length
  }
  for (let i = 0; i < count; i += 1) follow().catch(() => {})
  await wait(500)
  return { stop: () => stop.abort(), bytes: () => bytes }
}

/** Commands that Redis has processed. */
async function commandsOf(redis: { readonly url: string }): Promise<number> {
  const { port, password } = new URL(redis.url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(`AUTH ${password}\r\nINFO stats\r\n`)
  for await (const piece of socket) {
    const found = /total_commands_processed:(\d+)/.exec(String(piece))
    if (found) return Number(found[1])
  }
  throw new Error('Redis closed the connection')
}

async function countRequests(store: Store): Promise<void> {
  await using redis = await startRedis()
  await using queue = openQueueReader(redis.url)
  const bucket = counted(store, 's3://bucket/vectors')
  await using pages = await serveConsole({ stores: [bucket.store], queue, listen: '0' })
  for (const readers of READERS) {
    const open = await openReaders(pages.url, readers)
    const before = [bucket.calls.count, await commandsOf(redis)] as const
    await wait(60_000)
    const after = [bucket.calls.count, await commandsOf(redis)] as const
    open.stop()
    // Asking for the count is a command too.
    const [calls, commands] = after.map((count, i) => count - (before[i] ?? 0))
    console.log(`${readers} pages: ${calls} store calls and ${commands} Redis commands a minute`)
  }
}

/** A queue whose figures differ at each poll. */
function movingQueue(polls: { readonly count: number }): ConsoleQueue {
  const worker = (i: number): WorkerState => ({
    worker: `worker-${i}-${Math.floor(polls.count / 500)}`,
    endpoint: 'ok, limit 480',
    outputs: ['s3://bucket/vectors'],
    atMs: Date.now(),
    activity: {
      shares: { endpoint: 0.5, source: 0.1, store: 0.1, redis: 0.1, cpu: 0.2 },
      jobs: 4,
      limit: 480 + (polls.count % 7),
      inFlight: polls.count % 480,
      requests: {
        answered: 100,
        refused: polls.count % 3,
        failed: 0,
        p50Ms: 20 + (polls.count % 9),
        p99Ms: 90,
        queueMs: 4,
      },
      replicas: Array.from({ length: 8 }, (_, n) => ({
        replica: `http://tei-${n}:80`,
        state: (polls.count + n) % 40 === 0 ? 'ejected' : 'in_use',
      })),
    },
  })
  return {
    counts: async () => ({ waiting: 1_000 - (polls.count % 900), active: 8, delayed: 0, failed: 0 }),
    progress: async () => ({
      shards: 200,
      documents: 100_000 + polls.count,
      rows: 1,
      rejects: 0,
      tokens: 50 * polls.count,
      bytes: 1,
      truncated: 0,
      unreadTokens: 0,
      openDocuments: polls.count % 500,
    }),
    workers: async () => Array.from({ length: 8 }, (_, i) => worker(i)),
    failures: async () => [],
    attempts: async () => undefined,
    planning: async () => [],
    openShards: async () => new Map(Array.from({ length: 8 }, (_, i) => [(polls.count + i) % SHARDS, 1])),
  }
}

async function simulateDay(store: Store): Promise<void> {
  const polls = { count: 0 }
  const realNow = Date.now
  const queue = movingQueue(polls)
  const bucket = counted(store, 's3://bucket/vectors')
  // The last question of a poll moves the clock.
  const moving: ConsoleQueue = {
    ...queue,
    async openShards(of) {
      polls.count += 1
      return queue.openShards(of)
    },
  }
  Date.now = () => realNow() + POLL_MS * polls.count
  await using pages = await serveConsole({ stores: [bucket.store], queue: moving, listen: '0', pollMs: 1 })
  const open = await openReaders(pages.url, 10)
  const heap = (): number => {
    globalThis.gc?.()
    return process.memoryUsage().heapUsed / 2 ** 20
  }
  // The first hour fills the samples.
  while (polls.count < 800) await wait(100)
  const [before, startedMs] = [heap(), performance.now()]
  let most = before
  for (let hour = 2; polls.count < DAY_POLLS; ) {
    await wait(100)
    if (polls.count < (hour * DAY_POLLS) / 24) continue
    most = Math.max(most, heap())
    console.log(`${hour} h: heap ${heap().toFixed(1)} MiB`)
    hour += 2
  }
  const seconds = (performance.now() - startedMs) / 1000
  console.log(
    `a day, ${polls.count} polls, 10 readers, in ${seconds.toFixed(0)} s: heap ${before.toFixed(1)} MiB after the first hour, ${heap().toFixed(1)} at the end, at most ${most.toFixed(1)}; ${(open.bytes() / 2 ** 20).toFixed(0)} MiB sent`,
  )
  open.stop()
  Date.now = realNow
}

async function printBytes(store: Store): Promise<void> {
  await using pages = await serveConsole({ stores: [store], listen: '0' })
  for (const path of ['/', `/runs/${RUN}`, '/console.js', '/console.css']) {
    const body = await (await fetch(pages.url + path)).arrayBuffer()
    console.log(`${path.slice(0, 12).padEnd(12)} ${body.byteLength} bytes`)
  }
}

const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
try {
  await using store = await openStore(folder)
  await planned(store)
  console.log(`one run of ${SHARDS} shards, 200 of them made`)
  await printBytes(store)
  const only = process.argv[2]
  if (only === undefined || only === 'day') await simulateDay(store)
  if (only === undefined || only === 'requests') await countRequests(store)
} finally {
  await rm(folder, { recursive: true, force: true })
}
