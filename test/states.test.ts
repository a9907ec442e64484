// Every state of a run in every place where it is shown: status, ls, JSON, metric. The objects are
// in a real folder; Redis is a view with the answers that the state needs. The rules of alerts are
// evaluated in test/infra/alerts.test.ts; test/planning-status.test.ts has runs without a sequence
// number.

import { mkdtemp, readFile, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serveConsole } from '@reembed/console'
import {
  createRunsReader,
  pollRunMetrics,
  type QueueView,
  RUN_STATES,
  type RunStatus,
  type RunStatusState,
  readRunStatus,
  type StateReason,
} from '@reembed/producer'
import {
  continueSuperseded,
  failRun,
  type Manifest,
  type Plan,
  putGateReport,
  putManifest,
  putPlan,
  putVersion,
  setRunState,
  takeSeq,
} from '@reembed/protocol'
import { describeRunStatus, listRuns } from '@reembed/render'
import { gatesKey, seqKey, shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { createRegistry, openLog } from '@reembed/telemetry'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'

const RUN = 'a'.repeat(26)
const OTHER = 'b'.repeat(26)
const SHARDS = 4
const MODEL = { id: 'org/model', revision: 'r1', dimensions: 2, pooling: null, normalized: true }
const DAY_S = 86_400
let folder: string
let store: Store

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-states-'))
  store = await openStore(folder)
})
afterEach(() => rm(folder, { recursive: true }))

const quote = {
  tokens: 1_000,
  canaryTokens: 0,
  relativeError: null,
  inputs: 100,
  sampled: 100,
  tokensPerSecond: 10,
  seconds: 100,
  price: { perHour: 36, replicas: 1 },
  dollars: 1,
  coldStartSeconds: 0,
}

async function planned(run = RUN, more: Partial<Plan> = {}): Promise<Plan> {
  const plan: Plan = {
    format: 1,
    run,
    seq: await takeSeq(store, run),
    spaceId: 's',
    recipeId: 'r',
    source: '/corpus',
    recipe: { model: MODEL, prompt: '', fields: null, truncate: true, dtype: 'float32' },
    shards: SHARDS,
    slicesPerSegment: 16,
    objects: 1,
    bytes: 10,
    estimatedDocuments: 100,
    snapshotSha256: 'x',
    maxRejects: '1%',
    quote,
    ...more,
  }
  await putPlan(store, plan)
  return plan
}

async function finished({ run, seq }: Plan, rejects = 0): Promise<void> {
  const manifest: Manifest = {
    format: 1,
    run,
    seq,
    spaceId: 's',
    recipeId: 'r',
    source: '/corpus',
    model: MODEL,
    prompt: '',
    fields: null,
    shards: SHARDS,
    shardsPerSegment: 16,
    totals: {
      documents: 100,
      rows: 100 - rejects,
      rejects,
      tokens: 990,
      bytes: 9,
      truncated: 0,
      repaired: 0,
    },
    rejectReasons: {},
    actualCost: { tokens: 990, endpointSeconds: 90, dollars: 0.9 },
    shardsSha256: 'x',
  }
  await putManifest(store, manifest)
}

const publish = (version: number, { run, seq }: Plan) =>
  putVersion(store, { version, run, seq, manifestSha256: 'x', action: 'publish', by: 'sweeper' })

const putShards = async (count: number): Promise<void> => {
  for (let shard = 0; shard < count; shard += 1)
    await store.putIfAbsent(shardKey(RUN, shard, SHARDS), Buffer.from('shard'))
}

/** Redis with `jobs` of this run, the heartbeats of `endpoints`, and failed jobs. */
function redis({
  endpoints = [],
  others = 0,
  openDocuments = 0,
  failed = 0,
}: {
  endpoints?: string[]
  others?: number
  openDocuments?: number
  failed?: number
}): QueueView {
  const worker = (endpoint: string, i: number, outputs: string[]) => ({
    worker: `worker-${i}`,
    endpoint,
    outputs,
    atMs: Date.now(),
  })
  return {
    counts: async () => ({ waiting: SHARDS - failed, active: 0, delayed: 0, failed }),
    progress: async () => ({
      shards: 0,
      documents: 0,
      rows: 0,
      rejects: 0,
      tokens: 0,
      bytes: 0,
      openDocuments,
      truncated: 0,
      unreadTokens: 0,
    }),
    planning: async () => [],
    workers: async () => [
      ...endpoints.map((endpoint, i) => worker(endpoint, i, [store.url])),
      ...Array.from({ length: others }, (_, i) => worker('ok', i, ['/elsewhere'])),
    ],
    failures: async () =>
      Array.from({ length: failed }, (_, shard) => ({
        output: store.url,
        run: RUN,
        shard,
        reason: 'HTTP 400: too many tokens',
      })),
  }
}

interface Case {
  readonly state: RunStatusState
  readonly reason?: StateReason
  /** The whole sentence. */
  readonly sentence: RegExp
  /** The alert that names the state; undefined: none is needed. */
  readonly alert?: string
  make(): Promise<QueueView | string | undefined>
}

const CASES: Record<string, Case> = {
  'a run whose first document is not embedded yet': {
    state: 'queued',
    sentence: /^queued$/,
    async make() {
      await planned()
      return redis({ endpoints: ['ok, limit 64'] })
    },
  },
  'a run that workers embed': {
    state: 'running',
    sentence: /^running$/,
    alert: 'ReembedRunStalled',
    async make() {
      await planned()
      await putShards(2)
      return redis({ endpoints: ['ok, limit 64'], openDocuments: 5 })
    },
  },
  'a run whose workers wait for a cold endpoint': {
    state: 'waiting',
    reason: 'endpoint',
    sentence: /^waiting: warming, 41 s$/,
    alert: 'ReembedRunWaiting',
    async make() {
      await planned()
      return redis({ endpoints: ['warming, 41 s', 'warming, 41 s'] })
    },
  },
  'a run that no worker serves': {
    state: 'waiting',
    reason: 'no_worker',
    sentence: /^waiting: no worker serves this output; 2 workers serve other outputs$/,
    alert: 'ReembedRunWithoutWorker',
    async make() {
      await planned()
      return redis({ others: 2 })
    },
  },
  'a run whose workers serve another model': {
    state: 'waiting',
    reason: 'worker_fault',
    sentence: /^waiting: takes no jobs: the endpoint serves org\/model@r2$/,
    alert: 'ReembedRunWaiting',
    async make() {
      await planned()
      return redis({ endpoints: ['takes no jobs: the endpoint serves org/model@r2'] })
    },
  },
  'a run whose Redis does not answer': {
    state: 'waiting',
    reason: 'redis',
    sentence: /^waiting: Redis at redis:\/\/r does not answer$/,
    alert: 'ReembedRunWaiting',
    async make() {
      await planned()
      return 'Redis at redis://r does not answer'
    },
  },
  'a run that a person paused': {
    state: 'paused',
    reason: 'person',
    sentence: /^paused by ada@build-7: nightly window$/,
    async make() {
      await planned()
      await setRunState(store, RUN, 'paused', { by: 'ada@build-7', reason: 'nightly window' })
      return undefined
    },
  },
  'a run that its budget paused': {
    state: 'paused',
    reason: 'budget',
    sentence: /^paused: 990 of at most 1,000 tokens are used$/,
    alert: 'ReembedRunPausedByBudget',
    async make() {
      await planned()
      await setRunState(store, RUN, 'paused', { budgetExceeded: '990 of at most 1,000 tokens are used' })
      return undefined
    },
  },
  'a run whose model was replaced': {
    state: 'paused',
    reason: 'model_replaced',
    sentence: /^paused: no worker reached its model$/,
    async make() {
      await planned()
      await setRunState(store, RUN, 'paused', { modelReplaced: 'no worker reached its model', by: 'worker' })
      return undefined
    },
  },
  'a run whose receipts are not audited yet': {
    state: 'finishing',
    reason: 'audit',
    sentence: /^finishing: its receipts are not audited yet$/,
    async make() {
      await planned()
      await putShards(SHARDS)
      return undefined
    },
  },
  'a run whose gates are not judged yet': {
    state: 'finishing',
    reason: 'judging',
    sentence: /^finishing: its gates are not judged yet$/,
    async make() {
      await finished(await planned(RUN, { gates: ['rejects max 1%'] }))
      return undefined
    },
  },
  'a run with too many rejects': {
    state: 'held',
    reason: 'rejects',
    sentence: /^held: 7 of 100 documents were rejected, the limit is 1%$/,
    alert: 'ReembedRunHeld',
    async make() {
      await finished(await planned(), 7)
      return undefined
    },
  },
  'a run that failed a gate': {
    state: 'held',
    reason: 'gates',
    sentence: /^held: gate 'recall@10 drop 0.02': recall@10 is 0\.830, run b+ has 0\.960$/,
    alert: 'ReembedRunHeld',
    async make() {
      const before = await planned(OTHER)
      await finished(before)
      await publish(1, before)
      const gate = 'recall@10 drop 0.02'
      await finished(await planned(RUN, { gates: [gate] }))
      const message = `recall@10 is 0.830, run ${OTHER} has 0.960`
      await putGateReport(store, gatesKey(RUN, OTHER), {
        evaluation: 'x',
        scores: {},
        results: [{ gate, passed: false, message }],
      })
      return undefined
    },
  },
  'the current version': {
    state: 'published',
    sentence: /^published as version 1$/,
    async make() {
      const plan = await planned()
      await finished(plan)
      await publish(1, plan)
      return undefined
    },
  },
  'a run that a newer version replaced': {
    state: 'replaced',
    sentence: /^replaced: version 1 was replaced by version 2, of run b+$/,
    async make() {
      const plan = await planned()
      await finished(plan)
      await publish(1, plan)
      const newer = await planned(OTHER)
      await finished(newer)
      await publish(2, newer)
      return undefined
    },
  },
  'an unfinished run that a newer version passed': {
    state: 'superseded',
    sentence: /^superseded by version 1, of run b+, before its last 3 shards were made$/,
    async make() {
      await planned()
      await putShards(1)
      const newer = await planned(OTHER)
      await finished(newer)
      await publish(1, newer)
      return undefined
    },
  },
  'an unfinished run that is continued although a newer version passed it': {
    state: 'running',
    sentence: /^running$/,
    async make() {
      const plan = await planned()
      await putShards(1)
      const newer = await planned(OTHER)
      await finished(newer)
      await publish(1, newer)
      await continueSuperseded(store, plan)
      return undefined
    },
  },
  'a finished run that a newer version passed': {
    state: 'superseded',
    sentence: /^superseded by version 1, of run b+$/,
    async make() {
      await finished(await planned(), 7)
      const newer = await planned(OTHER)
      await finished(newer)
      await publish(1, newer)
      return undefined
    },
  },
  'a run that a person cancelled': {
    state: 'cancelled',
    reason: 'person',
    sentence: /^cancelled by ada@build-7$/,
    async make() {
      await planned()
      await setRunState(store, RUN, 'cancelled', { by: 'ada@build-7' })
      return undefined
    },
  },
  'a run with duplicate ids': {
    state: 'failed',
    reason: 'duplicate_ids',
    sentence: /^failed: the id 'x' occurs 2 times$/,
    alert: 'ReembedRunFailed',
    async make() {
      await planned()
      await putShards(SHARDS)
      await failRun(store, RUN, { code: 'DUPLICATE_ID', message: "the id 'x' occurs 2 times" }, 'sweeper')
      return undefined
    },
  },
  'a run whose missing shards all failed': {
    state: 'failed',
    reason: 'jobs',
    sentence: /^failed: all 2 missing shards failed: HTTP 400: too many tokens$/,
    alert: 'ReembedRunFailed',
    async make() {
      await planned()
      await putShards(2)
      return redis({ endpoints: ['ok, limit 64'], failed: 2 })
    },
  },
  'a run without a worker for three days': {
    state: 'abandoned',
    sentence: /^abandoned: no worker serves this output, and nothing has happened for 72 hours$/,
    alert: 'ReembedRunAbandoned',
    async make() {
      await planned()
      const at = Date.now() / 1000 - 3 * DAY_S - 60
      await utimes(join(folder, seqKey(1)), at, at)
      return redis({})
    },
  },
  'a run that gc is deleting': {
    state: 'deleting',
    sentence: /^deleting$/,
    async make() {
      await planned()
      await setRunState(store, RUN, 'deleting', { by: 'gc' })
      return undefined
    },
  },
  'a run that gc is erasing': {
    state: 'deleted',
    sentence: /^deleted$/,
    async make() {
      await planned()
      await setRunState(store, RUN, 'deleted', { by: 'gc' })
      return undefined
    },
  },
}

const rules = parse(
  await readFile(new URL('../infra/helm/reembed/files/rules.yaml', import.meta.url), 'utf8'),
).groups.flatMap(({ rules }: { rules: { alert: string; expr: string }[] }) => rules)

/** The gauge as it is scraped, after one poll. */
async function metricLines(view: QueueView | string | undefined): Promise<string[]> {
  const registry = createRegistry()
  const stop = new AbortController()
  const read = { ...redis({}), ...(typeof view === 'object' ? view : {}) }
  const failing = { ...read, counts: () => Promise.reject(new Error(String(view))) }
  const polling = pollRunMetrics(registry, [store], typeof view === 'string' ? failing : read, {
    log: openLog({ level: 'silent' }),
    signal: stop.signal,
  })
  await expect.poll(() => registry.render(), { timeout: 5_000 }).toContain('reembed_run_state{')
  stop.abort()
  await polling
  return (await registry.render()).split('\n').filter(line => line.startsWith('reembed_run_state{'))
}

/** The page of the run, as text with the entities of HTML. */
async function pageOf(view: QueueView | string | undefined): Promise<string> {
  const silent = () => Promise.reject(new Error(String(view)))
  const read = typeof view === 'object' ? view : { ...redis({}), counts: silent }
  const queue =
    view === undefined
      ? undefined
      : { ...read, openShards: async () => new Map<number, number>(), attempts: async () => undefined }
  await using pages = await serveConsole({ stores: [store], queue, listen: '0' })
  const response = await fetch(`${pages.url}/runs/${RUN}`)
  expect(response.status).toBe(200)
  return response.text()
}

test.each(Object.entries(CASES))('%s', async (_name, { state, reason, sentence, alert, make }) => {
  const view = await make()
  const status = await readRunStatus(store, view, RUN)
  expect([status.state, status.reason]).toEqual([state, reason])
  expect(status.sentence).toMatch(sentence)

  // status: the result is one sentence, in the first row.
  const rows = describeRunStatus(status, Date.now())
  expect(rows[0]).toEqual(['run', `${RUN}  ${status.sentence}`])

  // ls: one line of at most 80 columns for each run, below the header.
  const runs = await createRunsReader(store, view)(10)
  const [header = '', ...lines] = listRuns(runs, 80).split('\n')
  expect(header).toMatch(/^RUN +STATE +VERSION +SEQ +PLANNED \(UTC\) +ROWS +COST$/)
  expect(lines).toHaveLength(runs.length)
  expect(Math.max(header.length, ...lines.map(line => line.length))).toBeLessThanOrEqual(80)
  expect(lines.find(line => line.startsWith('aaaaaaaa'))).toMatch(new RegExp(`^a+ +${state} `))

  // JSON: the state and its reason are data.
  const json: RunStatus = JSON.parse(JSON.stringify(runs)).find(({ run }: RunStatus) => run === RUN)
  expect(json).toMatchObject({ state, sentence: status.sentence, ...(reason && { reason }) })

  // Page: the state with its sign, the rest of the sentence beside it.
  expect(await pageOf(view)).toContain(`</span> ${state}</span>`)

  // Metric: one series for each run. Without Redis an exporter does not exist.
  if (view !== undefined || !['queued', 'running'].includes(state)) {
    const [line, ...others] = (await metricLines(view)).filter(text => text.includes(`run="${RUN}"`))
    expect(others).toEqual([])
    expect(line).toBe(
      `reembed_run_state{output="${store.url}",run="${RUN}",state="${state}",reason="${reason ?? 'none'}"} 1`,
    )
  }

  const rule = rules.find((each: { alert: string }) => each.alert === alert)
  if (alert !== undefined) expect(rule?.expr).toContain(state)
})

test('planning: a sequence number without a plan is a run being planned, until it is 15 minutes old', async () => {
  await takeSeq(store, RUN)
  const read = createRunsReader(store)
  expect(await read(10)).toMatchObject([{ run: RUN, state: 'planning', sentence: 'planning', shards: 0 }])
  expect(listRuns(await read(10), 80)).toMatch(/^a+ +planning /m)
  expect(await metricLines(undefined)).toEqual([expect.stringContaining('state="planning",reason="none"} 1')])
  const at = Date.now() / 1000 - 16 * 60
  await utimes(join(folder, seqKey(1)), at, at)
  expect(await read(10)).toEqual([])
})

test('the table has every state', () => {
  const shown = new Set([...Object.values(CASES).map(({ state }) => state), 'planning'])
  expect([...RUN_STATES].filter(state => !shown.has(state))).toEqual([])
})

test('speed, time left and cost follow the shards of the last ten minutes', async () => {
  await planned()
  await putShards(3)
  const at = Date.now() / 1000 - 100
  await utimes(join(folder, shardKey(RUN, 0, SHARDS)), at, at)
  const { documentsDone, speed, cost } = await readRunStatus(store, undefined, RUN)
  expect(documentsDone).toBe(75)
  // Two shards of 25 documents after the first one, in 100 s.
  expect(speed.documentsPerSecond).toBeCloseTo(0.5, 1)
  expect(speed.secondsLeft).toBeCloseTo(50, 0)
  expect(cost).toEqual({ tokens: 750, dollars: 0.75, projectedTokens: 1000, projectedDollars: 1 })
})
