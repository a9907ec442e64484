// Whether a fleet of whole workers takes what its endpoint can give while that changes: replicas
// are added and removed, one is slow, another client takes a part. Over HTTP, with whole workers,
// Redis and shards; the replicas are fake TEIs with the timing of a GPU, behind one URL or at the
// addresses of one name. What a replica can give is measured first, by a bare load generator. Every
// vector of every shard is compared.
//
//   node --conditions=@reembed/source bench/capacity.ts [scenarios = all] [workers = 1,4,32] [addressed = url,dns] [times = 1]
//
// Times as long goes all in slow motion: of many workers, each takes too few requests in a minute
// to say how even that is.
//
// Not measured: S3, TLS, a network, a real GPU. Linux alone has all of 127.0.0.0/8.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Seen, ToReplicas } from './capacity/replicas.ts'
import type { Counted } from './capacity/worker.ts'
import { ask, start } from './child.ts'
import { openRun } from './fleet/run.ts'
import { TOKENS_PER_TEXT, textOf } from './fleet/texts.ts'

interface Scenario {
  readonly seconds: number
  /** From here on the use of the capacity counts. */
  readonly settled: number
  /** How many replicas are up. */
  readonly up: (second: number) => number
  /** Of each replica; 1 takes 640 texts of 128 tokens a second at best. */
  readonly speeds: readonly number[]
  /** Share of all replicas that another client asks for. */
  readonly noise?: (second: number) => number
}

const even = Array.from({ length: 6 }, () => 0.25)
const scenarios: Readonly<Record<string, Scenario>> = {
  '4 replicas': { seconds: 40, settled: 10, up: () => 4, speeds: even.slice(2) },
  '1 -> 6 -> 2': { seconds: 80, settled: 10, up: s => (s < 20 ? 1 : s < 60 ? 6 : 2), speeds: even },
  '0 -> 4': {
    seconds: 60,
    settled: 25,
    up: s => (s < 15 ? 0 : Math.min(4, 1 + Math.floor((s - 15) / 5))),
    speeds: even.slice(2),
  },
  'one slow': { seconds: 40, settled: 10, up: () => 4, speeds: [0.25 / 4, 0.25, 0.25, 0.25] },
  'noisy client': {
    seconds: 60,
    settled: 10,
    up: () => 4,
    speeds: even.slice(2),
    noise: s => (s % 20 < 10 ? 0.5 : 0),
  },
}
const named = (process.argv[2] ?? 'all') === 'all' ? Object.keys(scenarios) : process.argv[2]?.split(',')
const fleets = (process.argv[3] ?? '1,4,32').split(',').map(Number)
const ways = (process.argv[4] ?? 'url,dns').split(',')
const times = Number(process.argv[5] ?? 1)
/** Two cores can't hold a hundred processes: more workers than this share them. */
const MOST_PROCESSES = 8

/** Tokens a second that a replica of speed 0.25 gives to a load generator that keeps it full. */
async function measureReplica(): Promise<number> {
  const replicas = start('capacity/replicas.ts', '0.25')
  const [{ port }] = await once(replicas, 'message')
  const load = start('fleet/load.ts', `http://127.0.0.1:${port}`)
  const documents = 1_600
  const { ms } = await ask<{ ms: number }>(load, { documents, atOnce: 16 })
  for (const child of [load, replicas]) child.kill()
  return ((documents * TOKENS_PER_TEXT) / ms) * 1_000
}

interface Result {
  /**
   * Share of what the replicas could give that was answered to the fleet (and the other client).
   */
  readonly used: number
  readonly lastUsed: number
  /** Seconds until 90 % of the new capacity was in use, after each time that it grew. */
  readonly found: readonly number[]
  readonly refused: number
  readonly jain: number
  readonly failed: number
  /** Most requests in a second that met no replica behind the load balancer. */
  readonly knocks: number
}

async function measure(scenario: Scenario, workers: number, way: string, perSpeed: number): Promise<Result> {
  const { speeds, noise } = scenario
  const [seconds, settled] = [scenario.seconds * times, scenario.settled * times]
  const up = (second: number): number => scenario.up(second / times)
  const capacityOf = (second: number): number =>
    speeds.slice(0, up(second)).reduce((sum, speed) => sum + speed * perSpeed, 0)
  const timeline = Array.from({ length: seconds }, (_, s) => s)
  const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
  const replicas = start('capacity/replicas.ts', speeds.join(','))
  const fleet: ChildProcess[] = []
  try {
    const [{ port, balanced }] = await once(replicas, 'message')
    const addresses = join(folder, 'addresses.json')
    const change = async (told: ToReplicas): Promise<Seen> => {
      const seen = await ask<Seen>(replicas, told)
      // Whole or not at all: workers read it at any moment.
      await writeFile(`${addresses}.new`, JSON.stringify(seen.addresses))
      await rename(`${addresses}.new`, addresses)
      return seen
    }

    // More than fits the time, so that no worker is idle at the end; what is left is finished
    // after the measuring.
    const documents = Math.ceil((1.1 * sum(timeline.map(capacityOf))) / TOKENS_PER_TEXT) + workers * 128
    // Four jobs at once: a worker alone must have enough in hand for all replicas.
    await using run = await openRun(folder, { documents, documentsPerShard: workers < 4 ? 128 : 32 })
    await change({ up: up(0) })
    const url = way === 'dns' ? `dns+http://replicas.test:${port}` : balanced
    const together = Math.ceil(workers / MOST_PROCESSES)
    for (let left = workers; left > 0; left -= together) {
      const here = String(Math.min(left, together))
      fleet.push(start('capacity/worker.ts', url, addresses, run.redis, run.output, here))
    }
    await Promise.all(fleet.map(worker => once(worker, 'message')))
    await run.enqueue()

    const count = async (): Promise<Counted[]> =>
      (await Promise.all(fleet.map(workers => ask<Counted[]>(workers)))).flat()
    const history: Seen[] = [await ask<Seen>(replicas)]
    const over = new AbortController()
    const other = noise && makeNoise(balanced, s => noise(s / times) * capacityOf(s), over.signal)
    const startedMs = performance.now()
    let before = await count()
    for (let s = 0; s < seconds; s++) {
      if (up(s) !== up(Math.max(0, s - 1))) await change({ up: up(s) })
      if (s === settled) before = await count()
      await wait(startedMs + (s + 1) * 1_000 - performance.now())
      history.push(await ask<Seen>(replicas))
    }
    const after = await count()
    over.abort()
    await other

    // The rest, and whether all of it is right.
    await change({ up: speeds.length })
    await run.finished()
    const ended = await count()
    for (const worker of fleet) worker.disconnect()
    await Promise.all(fleet.map(worker => worker.exitCode ?? once(worker, 'exit')))
    await run.check()

    const answered = timeline.map(s => (history[s + 1]?.tokens ?? 0) - (history[s]?.tokens ?? 0))
    const used = (from: number, to: number): number =>
      sum(answered.slice(from, to)) / sum(timeline.slice(from, to).map(capacityOf))
    const grew = timeline.filter(s => s > 0 && up(s) > up(s - 1))
    const shares = after.map(({ tokens }, i) => tokens - (before[i]?.tokens ?? 0))
    return {
      used: used(settled, seconds),
      lastUsed: used(seconds - 15, seconds),
      found: grew.map(at => {
        const found = timeline.findIndex(s => s >= at && (answered[s] ?? 0) >= 0.9 * capacityOf(s))
        return found < 0 ? Number.POSITIVE_INFINITY : found - at + 1
      }),
      refused:
        sum(after.map(({ refused }, i) => refused - (before[i]?.refused ?? 0))) /
        sum(after.map(({ requests }, i) => requests - (before[i]?.requests ?? 0))),
      jain: sum(shares) ** 2 / (workers * sum(shares.map(share => share ** 2))),
      failed: sum(ended.map(({ failed }) => failed)),
      knocks: Math.max(...timeline.map(s => (history[s + 1]?.absent ?? 0) - (history[s]?.absent ?? 0))),
    }
  } finally {
    for (const child of [replicas, ...fleet]) child.kill()
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Another client with a mind of its own: requests of 16 texts at random moments, refused or not;
 * `rate` in tokens a second.
 */
async function makeNoise(url: string, rate: (second: number) => number, over: AbortSignal): Promise<void> {
  const startedMs = performance.now()
  const texts = Array.from({ length: 16 }, (_, i) => textOf(i))
  const request = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ inputs: texts }),
  }
  const under = new Set<Promise<void>>()
  while (!over.aborted) {
    const now = rate((performance.now() - startedMs) / 1_000)
    if (now > 0) {
      const sent = fetch(`${url}/embed`, request).then(
        reply => reply.arrayBuffer().then(() => undefined),
        () => undefined,
      )
      under.add(sent)
      void sent.finally(() => under.delete(sent))
    }
    await wait(now > 0 ? (-Math.log(1 - Math.random()) * 16_000 * TOKENS_PER_TEXT) / now : 100)
  }
  await Promise.all(under)
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

const perReplica = await measureReplica()
console.log(`A replica gives a bare load generator ${(perReplica / TOKENS_PER_TEXT).toFixed(0)} texts/s.`)
console.log('')
console.log(
  '| replicas | addressed | workers | used, changes included | used, last 15 s | 90 % of more after | refused | Jain | attempts consumed | most probes/s |',
)
console.log('|---|---|---|---|---|---|---|---|---|---|')
for (const name of named ?? []) {
  const scenario = scenarios[name]
  if (scenario === undefined) throw new Error(`no scenario ${name}: ${Object.keys(scenarios).join(', ')}`)
  for (const way of ways) {
    for (const workers of fleets) {
      const result = await measure(scenario, workers, way, perReplica / 0.25)
      const cells = [
        name,
        way === 'dns' ? 'one by one' : 'one URL',
        workers,
        percent(result.used),
        percent(result.lastUsed),
        result.found.map(seconds => `${seconds} s`).join(', '),
        percent(result.refused),
        result.jain.toFixed(3),
        result.failed,
        way === 'url' && scenario.up(0) === 0 ? result.knocks : '',
      ]
      console.log(`| ${cells.join(' | ')} |`)
    }
  }
}
