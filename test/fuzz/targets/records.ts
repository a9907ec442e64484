// The small JSON objects of the store: plans and their slices, manifests, versions, the order of
// runs, run state records, ticks; and a job as it comes from the queue. Each is taken whole or
// refused as CORRUPT.

import { gzipSync } from 'node:zlib'
import { checkSchedule, publish, rollback } from '@reembed/producer'
import {
  readCurrent,
  readManifest,
  readManifestShards,
  readPlan,
  readRunStateRecord,
  readSeq,
  readSlices,
  readVersions,
} from '@reembed/protocol'
import { parseJob } from '@reembed/queue'
import {
  manifestKey,
  manifestSegmentKey,
  planKey,
  planSegmentKey,
  runStateKey,
  seqKey,
  tickKey,
  ticksSinceKey,
  versionKey,
} from '@reembed/shared'
import type { Store } from '@reembed/store'
import { makeRun } from '../run.ts'
import { choicesOf, memoryStore, must, refusing, type Target } from '../target.ts'

const REFUSED = ['CORRUPT', 'RUN_NOT_FOUND']
const MANY = 10_000
const NOW = Date.UTC(2026, 10, 22, 12)
const nightly = { name: 'nightly', cron: '0 3 * * *', timezone: 'UTC', when: 'always' } as const
const TICK = Date.UTC(2026, 10, 22, 3)

let made: ReturnType<typeof makeRun> | undefined
const good = (): ReturnType<typeof makeRun> => {
  made ??= makeRun(['one', 'two', '', 'four', 'five', 'six'])
  return made
}

interface Kind {
  readonly key: (run: string) => string
  readonly packed?: boolean
  readonly sample?: unknown
  read(store: Store, run: string): Promise<unknown>
}

/**
 * No more than so many: a plan may claim any number of slices, and they are read one segment at a
 * time.
 */
async function some(rows: AsyncIterable<unknown>): Promise<number> {
  let seen = 0
  for await (const _ of rows) if (++seen >= MANY) break
  return seen
}

const look = (store: Store): Promise<unknown> =>
  checkSchedule(store, nightly, {
    nowMs: NOW,
    onDue: async () => ({ status: 'unchanged', run: 'r' }),
  })

const KINDS: readonly Kind[] = [
  { key: planKey, read: readPlan },
  {
    key: run => planSegmentKey(run, 0),
    packed: true,
    async read(store, run) {
      const plan = await readPlan(store, run)
      if (plan) await some(readSlices(store, plan))
    },
  },
  {
    key: planKey,
    async read(store, run) {
      const plan = await readPlan(store, run)
      if (plan) await some(readSlices(store, plan))
    },
  },
  { key: manifestKey, read: readManifest },
  {
    key: run => manifestSegmentKey(run, 0),
    packed: true,
    async read(store, run) {
      const manifest = await readManifest(store, run)
      if (manifest) await some(readManifestShards(store, manifest))
    },
  },
  {
    key: () => versionKey(1),
    async read(store, run) {
      const current = await readCurrent(store)
      if (current) must(typeof current.run === 'string', () => 'a version of no run')
      await some(readVersions(store))
      const manifest = await readManifest(store, run)
      if (manifest) await publish(store, manifest)
      await rollback(store)
    },
  },
  {
    key: () => seqKey(1),
    async read(store) {
      for (const { run } of await readSeq(store)) must(typeof run === 'string', () => 'a place of no run')
    },
  },
  {
    key: run => runStateKey(run, 1),
    sample: { format: 1, number: 1, state: 'paused', maxTokens: 7, budgetExceeded: 'tokens' },
    async read(store, run) {
      const { state } = await readRunStateRecord(store, run)
      must(/^(running|paused|cancelled|deleting)$/.test(state), () => `a run is ${state}`)
    },
  },
  {
    key: () => ticksSinceKey('nightly'),
    sample: { format: 1, since: '2026-11-01T00:00:00.000Z' },
    read: look,
  },
  {
    key: () => tickKey('nightly', TICK),
    sample: { format: 1, claimedAt: '2026-11-22T03:00:01.000Z', claimId: 'x' },
    read: look,
  },
]

const job = { output: 's3://vectors', run: 'a'.repeat(26), shard: 7 }

export const target: Target = {
  what: 'plan, slices, manifest, version, seq, state record, tick, job',
  maxBytes: 3_000,
  maxMiB: 256,
  dictionary: [
    'null',
    'true',
    '[]',
    '{}',
    '""',
    '-1',
    '1e9',
    '1e400',
    '0.5',
    '"format":1',
    '"run":',
    '"parts":',
    '"shards":',
    '__proto__',
    '"state":"paused"',
    '2026-11-22T03:00:00Z',
    '1970',
  ],
  async seeds() {
    const { run, objects } = await good()
    const seeds = await Promise.all(
      KINDS.map(async ({ key, packed, sample }, i) => {
        const found = sample === undefined ? objects.get(key(run)) : Buffer.from(JSON.stringify(sample))
        must(found !== undefined, () => `the run has no ${key(run)}`)
        const { gunzipSync } = await import('node:zlib')
        return Buffer.concat([Buffer.from([i]), packed ? gunzipSync(found) : found])
      }),
    )
    return [...seeds, Buffer.concat([Buffer.from([KINDS.length]), Buffer.from(JSON.stringify(job))])]
  },
  async check(input) {
    const choices = choicesOf(input, 1)
    const kind = KINDS[choices.number(KINDS.length + 1)]
    if (kind === undefined) return checkJob(choices.rest)
    const { run, objects } = await good()
    const body = kind.packed ? gzipSync(choices.rest) : choices.rest
    const store = memoryStore(new Map([...objects, [kind.key(run), body]]))
    await refusing(REFUSED, () => kind.read(store, run))
  },
}

async function checkJob(body: Buffer): Promise<void> {
  let data: unknown
  try {
    data = JSON.parse(body.toString())
  } catch {
    return
  }
  const taken = await refusing(['JOB_INVALID'], () => parseJob(data))
  if (taken === undefined) return
  must(Object.keys(taken).sort().join() === 'output,run,shard', () => 'a job with other fields')
  must(/^[a-z2-7]{26}$/.test(taken.run), () => `a job of run ${taken.run}`)
  must(Number.isSafeInteger(taken.shard) && taken.shard >= 0, () => `a job of shard ${taken.shard}`)
}
